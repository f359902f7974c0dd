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
    let gray = vec![90; 200 * 160];
    let files = [
        jpeg(&gray, SIZE, ColorType::Luma, |_| {}),
        png(&gray, (200, 160), (png::ColorType::Grayscale, BitDepth::Eight), |_| {}),
    ];
    for bytes in files {
        let pixels = Pixels::of_webp(&thumbnail(&bytes, boxed(40, 40, Fit::Cover, Format::WebP)).bytes);
        pixels.assert_quarters([[90; 3]; 4], "grey");
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
fn transparency_is_kept_and_white_in_jpeg() {
    let gray_alpha: Vec<u8> = (0..100 * 100).flat_map(|at| [60, if at % 100 < 50 { 255 } else { 0 }]).collect();
    let bytes = png(&gray_alpha, (100, 100), (png::ColorType::GrayscaleAlpha, BitDepth::Eight), |_| {});
    let pixels = Pixels::of_webp(&thumbnail(&bytes, boxed(32, 32, Fit::Cover, Format::WebP)).bytes);
    assert!(pixels.alpha);
    assert_eq!((pixels.at(0.25, 0.5)[3], pixels.at(0.75, 0.5)[3]), (255, 0));
    assert!(pixels.at(0.25, 0.5)[0].abs_diff(60) < 8, "{:?}", pixels.at(0.25, 0.5));

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
        for thumbnail in [whole, thumbnail(&bytes, boxed(33, 33, Fit::Cover, Format::WebP))] {
            let pixels = Pixels::of_webp(&thumbnail.bytes);
            assert_eq!((pixels.width, pixels.height), (thumbnail.width, thumbnail.height));
            pixels.assert_quarters(expected, &format!("orientation {orientation}"));
        }
    }
}

#[test]
fn a_colour_profile_is_applied_and_left_behind() {
    let p3 = ColorProfile::new_display_p3().encode().expect("a profile");
    let flat = [200, 100, 50].repeat(64 * 64);
    let plain = jpeg(&flat, (64, 64), ColorType::Rgb, |_| {});
    let wide = jpeg(&flat, (64, 64), ColorType::Rgb, |encoder| encoder.add_icc_profile(&p3).expect("fits"));
    let png_wide = png(&flat, (64, 64), (png::ColorType::Rgb, BitDepth::Eight), |_| {});
    let red = |bytes: &[u8]| {
        let thumbnail = thumbnail(bytes, boxed(32, 32, Fit::Cover, Format::WebP));
        assert!(!thumbnail.bytes.windows(4).any(|four| four == b"ICCP"));
        Pixels::of_webp(&thumbnail.bytes).at(0.5, 0.5)[0]
    };
    assert!(red(&plain).abs_diff(200) < 6 && red(&png_wide).abs_diff(200) < 6);
    assert!(red(&wide) > 206, "{}", red(&wide));
    let srgb = ColorProfile::new_srgb().encode().expect("a profile");
    let tagged = jpeg(&flat, (64, 64), ColorType::Rgb, |encoder| encoder.add_icc_profile(&srgb).expect("fits"));
    let transform = boxed(32, 32, Fit::Cover, Format::WebP);
    assert_eq!(thumbnail(&tagged, transform).bytes, thumbnail(&plain, transform).bytes, "sRGB's own profile");
}
