//! What is read: formats, channels, depths, colours, turns.

use jpeg_encoder::{ColorType, SamplingFactor};
use moxcms::ColorProfile;
use png::BitDepth;
use thumbnails_core::{Fit, Format};

use crate::files::{self, Pixels, QUARTERS, boxed, gif, jpeg, png, quarters, thumbnail, webp};

/// A thumbnail of a file, which must show the four quarters.
fn assert_shows_quarters(bytes: &[u8], what: &str) {
    for side in [16, 48] {
        let thumbnail = thumbnail(bytes, boxed(side, side, Fit::Cover, Format::WebP));
        let pixels = Pixels::of_webp(&thumbnail.bytes);
        assert_eq!((pixels.width, pixels.height), (side, side), "{what}");
        pixels.assert_quarters(QUARTERS, what);
    }
}

const SIZE: (u16, u16) = (200, 160);

#[test]
fn every_jpeg_shows_the_picture() {
    let rgb = quarters(200, 160);
    for sampling in [
        SamplingFactor::R_4_4_4,
        SamplingFactor::R_4_2_2,
        SamplingFactor::R_4_2_0,
        SamplingFactor::R_4_4_0,
        SamplingFactor::R_4_1_1,
    ] {
        for progressive in [false, true] {
            for restart in [0, 5] {
                let bytes = jpeg(&rgb, SIZE, ColorType::Rgb, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_progressive(progressive);
                    encoder.set_restart_interval(restart);
                });
                assert_shows_quarters(&bytes, &format!("{sampling:?}, progressive {progressive}, restart {restart}"));
            }
        }
    }
}

#[test]
fn inks_become_colours() {
    // The encoder takes inks, and stores them inverted with a mark, as Adobe's programs do.
    let inks = |[r, g, b]: &[u8; 3]| [255 - r, 255 - g, 255 - b, 0];
    let inks: Vec<u8> = quarters(200, 160).as_chunks::<3>().0.iter().flat_map(inks).collect();
    for colors in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        assert_shows_quarters(&jpeg(&inks, SIZE, colors, |_| {}), &format!("{colors:?}"));
    }
}

#[test]
fn grey_stays_grey() {
    for shade in [0, 20, 90, 128, 235, 255] {
        let gray = vec![shade; 200 * 160];
        let rgb = vec![shade; 200 * 160 * 3];
        let files = [
            jpeg(&gray, SIZE, ColorType::Luma, |_| {}),
            jpeg(&rgb, SIZE, ColorType::Rgb, |_| {}),
            png(&gray, (200, 160), (png::ColorType::Grayscale, BitDepth::Eight), |_| {}),
            png(&rgb, (200, 160), (png::ColorType::Rgb, BitDepth::Eight), |_| {}),
        ];
        for (bytes, what) in files.iter().zip(["JPEG", "JPEG of three colours", "PNG", "PNG of three colours"]) {
            let pixels = Pixels::of_webp(&thumbnail(bytes, boxed(40, 40, Fit::Cover, Format::WebP)).bytes);
            pixels.assert_flat([shade; 3], &format!("{what} of {shade}"));
        }
    }
}

#[test]
fn every_png_shows_the_picture() {
    let rgb = quarters(200, 160);
    let size = (200, 160);
    let color = |color, depth| (color, depth);
    let rgba: Vec<u8> = rgb.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
    let deep: Vec<u8> = rgb.iter().flat_map(|value| [*value, 7]).collect();
    let deep_rgba: Vec<u8> = rgba.iter().flat_map(|value| [*value, *value]).collect();
    let indexed: Vec<u8> = rgb.as_chunks::<3>().0.iter().map(|at| index_of(*at)).collect();
    let palette = QUARTERS.concat();
    let pngs = [
        ("rgb", png(&rgb, size, color(png::ColorType::Rgb, BitDepth::Eight), |_| {})),
        ("rgba", png(&rgba, size, color(png::ColorType::Rgba, BitDepth::Eight), |_| {})),
        ("rgb of 16 bits", png(&deep, size, color(png::ColorType::Rgb, BitDepth::Sixteen), |_| {})),
        ("rgba of 16 bits", png(&deep_rgba, size, color(png::ColorType::Rgba, BitDepth::Sixteen), |_| {})),
        (
            "palette",
            png(&indexed, size, color(png::ColorType::Indexed, BitDepth::Eight), |encoder| {
                encoder.set_palette(palette);
            }),
        ),
    ];
    for (what, bytes) in pngs {
        assert_shows_quarters(&bytes, what);
    }
}

fn index_of(color: [u8; 3]) -> u8 {
    QUARTERS.iter().zip(0..).find(|(quarter, _)| **quarter == color).expect("a quarter").1
}

#[test]
fn grey_of_any_depth_is_read() {
    let size = (64, 64);
    // Bright on the left, dark on the right: 170 and 85 of 255 in each depth.
    let row = |left: &[u8], right: &[u8]| [left.repeat(32), right.repeat(32)].concat();
    let files = [
        (BitDepth::Sixteen, row(&[0xAA, 0xAA], &[0x55, 0x55]).repeat(64)),
        (BitDepth::Eight, row(&[0xAA], &[0x55]).repeat(64)),
        (BitDepth::Four, [[0xAA; 16], [0x55; 16]].concat().repeat(64)),
        (BitDepth::Two, [[0xAA; 8], [0x55; 8]].concat().repeat(64)),
    ];
    let black_and_white = [[0xFF; 4], [0; 4]].concat().repeat(64);
    let bytes = png(&black_and_white, size, (png::ColorType::Grayscale, BitDepth::One), |_| {});
    let shown = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
    shown.assert_quarters([[255; 3], [0; 3], [255; 3], [0; 3]], "a bit a pixel");
    for (depth, pixels) in files {
        let bytes = png(&pixels, size, (png::ColorType::Grayscale, depth), |_| {});
        let shown = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
        shown.assert_quarters([[170; 3], [85; 3], [170; 3], [85; 3]], &format!("{depth:?}"));
    }
}

#[test]
fn a_colour_of_a_palette_may_be_transparent() {
    let indexed = [[0; 32], [1; 32]].concat().repeat(64);
    let bytes = png(&indexed, (64, 64), (png::ColorType::Indexed, BitDepth::Eight), |encoder| {
        encoder.set_palette(vec![200, 100, 50, 1, 2, 3]);
        encoder.set_trns(vec![255, 0]);
    });
    let shown = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
    assert!(shown.alpha);
    assert_eq!((shown.at(0.25, 0.5)[3], shown.at(0.75, 0.5)[3]), (255, 0));
}

#[test]
fn one_colour_of_a_png_may_be_transparent() {
    let gray = [[0x30; 32], [0xC0; 32]].concat().repeat(64);
    let rgb: Vec<u8> = gray.iter().flat_map(|value| [*value; 3]).collect();
    let files = [(png::ColorType::Grayscale, gray, vec![0, 0xC0]), (png::ColorType::Rgb, rgb, [0, 0xC0].repeat(3))];
    for (color, pixels, transparent) in files {
        let bytes = png(&pixels, (64, 64), (color, BitDepth::Eight), |encoder| encoder.set_trns(transparent));
        let shown = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
        assert!(shown.alpha, "{color:?}");
        assert_eq!((shown.at(0.25, 0.5)[3], shown.at(0.75, 0.5)[3]), (255, 0), "{color:?}");
        assert!(shown.at(0.25, 0.5)[0].abs_diff(0x30) <= 3, "{color:?}");
    }
}

#[test]
fn inks_are_inverted_only_where_adobe_is_named() {
    let inks = [[200, 30, 90, 10]; 64 * 64].concat();
    let marked = jpeg(&inks, (64, 64), ColorType::Cmyk, |_| {});
    let at = marked.windows(4).position(|four| four == [0xFF, 0xEE, 0, 14]).expect("a mark");
    let unmarked = [&marked[..at], &marked[at + 16..]].concat();
    let shown = |bytes: &[u8]| {
        let pixels = Pixels::of_webp(&thumbnail(bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
        pixels.at(0.5, 0.5).to_vec()
    };
    let near = |got: Vec<u8>, expected: [u8; 3]| got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 8);
    assert!(near(shown(&marked), [53, 216, 159]), "{:?}", shown(&marked));
    // The samples that the encoder has inverted are taken as they are.
    assert!(near(shown(&unmarked), [8, 1, 4]), "{:?}", shown(&unmarked));
}

#[test]
fn gifs_of_every_kind_show_the_picture() {
    let indexed: Vec<u8> = quarters(200, 160).as_chunks::<3>().0.iter().map(|at| index_of(*at)).collect();
    for (global, interlaced) in [(true, false), (false, true), (true, true)] {
        let palette = QUARTERS.concat();
        let mut pixels = indexed.clone();
        if interlaced {
            let rows =
                [(0, 8), (4, 8), (2, 4), (1, 2)].into_iter().flat_map(|(first, step)| (first..160).step_by(step));
            pixels = rows.flat_map(|y| indexed[y * 200..][..200].to_vec()).collect();
        }
        let mut bytes = Vec::new();
        let mut encoder =
            ::gif::Encoder::new(&mut bytes, 200, 160, if global { &palette } else { &[] }).expect("a header");
        let frame = ::gif::Frame {
            width: 200,
            height: 160,
            interlaced,
            palette: (!global).then_some(palette.clone()),
            buffer: pixels.into(),
            ..::gif::Frame::default()
        };
        encoder.write_frame(&frame).expect("encodes");
        drop(encoder);
        assert_shows_quarters(&bytes, &format!("a palette for all {global}, interlaced {interlaced}"));
    }
}

#[test]
fn an_index_of_a_gif_may_be_transparent() {
    let mut bytes = Vec::new();
    let mut encoder = ::gif::Encoder::new(&mut bytes, 64, 64, &[200, 100, 50, 1, 2, 3]).expect("a header");
    let pixels = [[0; 32], [1; 32]].concat().repeat(64);
    encoder.write_frame(&::gif::Frame::from_indexed_pixels(64, 64, pixels, Some(1))).expect("encodes");
    drop(encoder);
    let shown = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
    assert!(shown.alpha);
    assert_eq!((shown.at(0.25, 0.5)[3], shown.at(0.75, 0.5)[3]), (255, 0));
}

#[test]
fn it_is_no_matter_in_which_order_the_rows_of_a_png_come() {
    let pixels: Vec<u8> = (0..131 * 97 * 4_u32).map(|at| (at * at / 251 % 256) as u8).collect();
    let plain = png(&pixels, (131, 97), (png::ColorType::Rgba, BitDepth::Eight), |_| {});
    let interlaced = files::interlaced_png(&pixels, (131, 97));
    for (width, height) in [(16, 16), (100, 20), (131, 97)] {
        let transform = boxed(width, height, Fit::Cover, Format::WebP);
        assert_eq!(thumbnail(&interlaced, transform).bytes, thumbnail(&plain, transform).bytes, "{width} x {height}");
    }
}

#[test]
fn transparency_is_kept_and_white_in_jpeg() {
    let gray_alpha: Vec<u8> = (0..100 * 100).flat_map(|at| [60, if at % 100 < 50 { 255 } else { 0 }]).collect();
    let bytes = png(&gray_alpha, (100, 100), (png::ColorType::GrayscaleAlpha, BitDepth::Eight), |_| {});
    let pixels = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
    assert!(pixels.alpha);
    assert_eq!((pixels.at(0.25, 0.5)[3], pixels.at(0.75, 0.5)[3]), (255, 0));
    assert!(pixels.at(0.25, 0.5)[0].abs_diff(60) < 8, "{:?}", pixels.at(0.25, 0.5));

    let deep: Vec<u8> = gray_alpha.iter().flat_map(|value| [*value, *value]).collect();
    let deep = png(&deep, (100, 100), (png::ColorType::GrayscaleAlpha, BitDepth::Sixteen), |_| {});
    let transform = boxed(32, 32, Fit::Cover, Format::WebP);
    assert_eq!(thumbnail(&deep, transform).bytes, thumbnail(&bytes, transform).bytes, "16 bits");

    let flat = thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::Jpeg));
    let again = Pixels::of_webp(&thumbnail(&flat.bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
    again.assert_quarters([[60; 3], [255; 3], [60; 3], [255; 3]], "over white");
}

#[test]
fn webp_and_gif_show_the_picture() {
    let rgb = quarters(200, 160);
    assert_shows_quarters(&webp(&rgb, (200, 160), image_webp::ColorType::Rgb8), "WebP");
    let rgba: Vec<u8> = rgb.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
    assert_shows_quarters(&webp(&rgba, (200, 160), image_webp::ColorType::Rgba8), "WebP with alpha");
    let lossy = thumbnail(&files::quarters_jpeg(400, 320), boxed(200, 160, Fit::Cover, Format::WebP));
    assert_shows_quarters(&lossy.bytes, "lossy WebP");
    let quarter = |color, place| files::Solid { color, delay: 10, place, dispose: gif_dispose() };
    let [a, b, c, d] = QUARTERS;
    let frames = [
        quarter(a, [0, 0, 100, 80]),
        quarter(b, [100, 0, 100, 80]),
        quarter(c, [0, 80, 100, 80]),
        quarter(d, [100, 80, 100, 80]),
    ];
    let animated = thumbnail(&gif(200, 160, &frames), boxed(48, 48, Fit::Cover, Format::WebP));
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&animated.bytes)).expect("a WebP");
    let mut frame = vec![0; decoder.output_buffer_size().expect("a size")];
    for _ in 0..4 {
        decoder.read_frame(&mut frame).expect("a frame");
    }
    let last = Pixels { width: 48, height: 48, alpha: decoder.has_alpha(), bytes: frame };
    last.assert_quarters(QUARTERS, "the frames on top of each other");
}

fn gif_dispose() -> ::gif::DisposalMethod {
    ::gif::DisposalMethod::Keep
}

#[test]
fn every_turn_is_undone() {
    let [a, b, c, d] = QUARTERS;
    // What a viewer shows of the quarters ab/cd, by the orientation of EXIF.
    let shown = [
        [a, b, c, d],
        [b, a, d, c],
        [d, c, b, a],
        [c, d, a, b],
        [a, c, b, d],
        [c, a, d, b],
        [d, b, c, a],
        [b, d, a, c],
    ];
    for (orientation, expected) in (1..).zip(shown) {
        let bytes = jpeg(&quarters(200, 160), SIZE, ColorType::Rgb, |encoder| {
            encoder.add_app_segment(1, files::exif(orientation)).expect("fits");
        });
        let turned = orientation > 4;
        let whole = thumbnail(&bytes, boxed(100, 100, Fit::Inside, Format::WebP));
        let sides = if turned { (80, 100) } else { (100, 80) };
        assert_eq!((whole.width, whole.height), sides, "orientation {orientation}");
        let square = |bytes: &[u8]| thumbnail(bytes, boxed(33, 33, Fit::Cover, Format::WebP));
        // What JPEG has in front of the data, the others have not.
        let exif = files::exif(orientation).split_off(6);
        for thumbnail in [whole, square(&bytes), square(&turned_png(&exif)), square(&turned_webp(&exif))] {
            let pixels = Pixels::of_webp(&thumbnail.bytes);
            assert_eq!((pixels.width, pixels.height), (thumbnail.width, thumbnail.height));
            pixels.assert_quarters(expected, &format!("orientation {orientation}"));
        }
    }
}

fn turned_png(exif: &[u8]) -> Vec<u8> {
    png_with(|info| info.exif_metadata = Some(exif.to_vec().into()), &quarters(200, 160), (200, 160))
}

fn turned_webp(exif: &[u8]) -> Vec<u8> {
    webp_with(|encoder| encoder.set_exif_metadata(exif.to_vec()), &quarters(200, 160), (200, 160))
}

/// A PNG of three bytes a pixel, with what is added to its header.
fn png_with(add: impl FnOnce(&mut png::Info<'static>), rgb: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let mut info = png::Info::with_size(width, height);
    (info.color_type, info.bit_depth) = (png::ColorType::Rgb, BitDepth::Eight);
    add(&mut info);
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).expect("valid").write_header().expect("a header");
    writer.write_image_data(rgb).expect("encodes");
    drop(writer);
    bytes
}

/// A WebP of three bytes a pixel, with what is added to it.
fn webp_with(
    add: impl FnOnce(&mut image_webp::WebPEncoder<&mut Vec<u8>>),
    rgb: &[u8],
    (width, height): (u32, u32),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut bytes);
    add(&mut encoder);
    encoder.encode(rgb, width, height, image_webp::ColorType::Rgb8).expect("encodes");
    bytes
}

#[test]
fn a_colour_profile_is_applied_and_left_behind() {
    let p3 = ColorProfile::new_display_p3().encode().expect("a profile");
    let flat = [200, 100, 50].repeat(64 * 64);
    let plain = jpeg(&flat, (64, 64), ColorType::Rgb, |_| {});
    let wide = jpeg(&flat, (64, 64), ColorType::Rgb, |encoder| encoder.add_icc_profile(&p3).expect("fits"));
    let png_plain = png(&flat, (64, 64), (png::ColorType::Rgb, BitDepth::Eight), |_| {});
    let png_wide = png_with(|info| info.icc_profile = Some(p3.clone().into()), &flat, (64, 64));
    let webp_wide = webp_with(|encoder| encoder.set_icc_profile(p3.clone()), &flat, (64, 64));
    let red = |bytes: &[u8]| {
        let thumbnail = thumbnail(bytes, boxed(32, 32, Fit::Cover, Format::WebP));
        assert!(!thumbnail.bytes.windows(4).any(|four| four == b"ICCP"));
        Pixels::of_webp(&thumbnail.bytes).at(0.5, 0.5)[0]
    };
    assert!(red(&plain).abs_diff(200) < 6 && red(&png_plain).abs_diff(200) < 6);
    for bytes in [&wide, &png_wide, &webp_wide] {
        assert!(red(bytes) > 206, "{}", red(bytes));
    }
    let srgb = ColorProfile::new_srgb().encode().expect("a profile");
    let tagged = jpeg(&flat, (64, 64), ColorType::Rgb, |encoder| encoder.add_icc_profile(&srgb).expect("fits"));
    let transform = boxed(32, 32, Fit::Cover, Format::WebP);
    assert_eq!(thumbnail(&tagged, transform).bytes, thumbnail(&plain, transform).bytes, "sRGB's own profile");
}
