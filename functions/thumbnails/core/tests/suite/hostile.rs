//! Bombs, lies and noise: each is refused or survived, and none takes long.

use ::gif::DisposalMethod;
use jpeg_encoder::{ColorType, SamplingFactor};
use png::BitDepth;
use thumbnails_core::{Cancel, Error, Fit, Format, Transform, limits, render};

use crate::clock::cpu_seconds;
use crate::files::{
    self, Solid, boxed, canvas, chunk, gif, jpeg, png, quarters, quarters_jpeg, riff, vp8, waves, webp,
};

/// CPU time that one file may take, whatever it says: those that were attacks took minutes.
const SECONDS: f64 = 4.0;

/// What rendering a file at 64 x 64 ends in. It takes no longer than it may, and no decoder panics.
pub(crate) fn outcome(bytes: &[u8]) -> Result<(), Error> {
    let start = cpu_seconds();
    let result = render(bytes, &boxed(64, 64, Fit::Cover, Format::WebP), &Cancel::never());
    let took = cpu_seconds() - start;
    assert!(took < SECONDS, "{took} s: {result:?}");
    let panicked = matches!(&result, Err(Error::Malformed(why)) if why.starts_with("a decoder panicked"));
    assert!(!panicked, "{result:?}");
    result.map(|_| ())
}

fn assert_too_large(bytes: &[u8], what: &str) {
    assert!(matches!(outcome(bytes), Err(Error::TooLarge(_))), "{what}: {:?}", outcome(bytes));
}

#[test]
fn what_is_no_picture_is_told_by_its_first_bytes() {
    let none = [
        &b""[..],
        b"\xFF\xD8",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
        b"%PDF-1.7",
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08",
        b"\0\0\0\x20ftypavif",
        b"BM\x36\0\0\0",
        b"<!doctype html><script>alert(1)</script>",
        b"{\"code\":\"NOT_FOUND\"}",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://example.com/\"|ls \"-la)'",
        b"GIF88a",
    ];
    for bytes in none {
        assert_eq!(outcome(bytes), Err(Error::NotAnImage), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_too_large(&vec![0xFF; limits::INPUT_BYTES + 1], "a file of 20 MB and a byte");
    let mut largest = quarters_jpeg(64, 64);
    largest.resize(limits::INPUT_BYTES, 0);
    outcome(&largest).expect("a file of exactly 20 MB, with something behind the picture");
}

#[test]
fn a_bomb_is_known_by_its_header() {
    // GIF: the canvas is in the first bytes.
    let mut bytes = gif(4, 4, &[solid()]);
    bytes[6..10].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    assert_too_large(&bytes, "a GIF of 65535 x 65535");
    bytes[6..10].copy_from_slice(&[0x00, 0x20, 0x00, 0x20]);
    assert_too_large(&bytes, "a GIF of 8192 x 8192");
    // A frame may be larger than its canvas: 65535 x 65535 here, on 4 x 4.
    let mut bytes = gif(4, 4, &[solid()]);
    let frame = bytes.iter().position(|byte| *byte == b',').expect("a frame");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    assert_too_large(&bytes, "a frame of 65535 x 65535");
    // PNG: width and height at 16, and the checksum after them must fit or the header counts for nothing.
    for (width, height) in
        [(50_000_u32, 50_000_u32), (16_384, 1), (1, 16_384), (u32::MAX, 1), (8000, 8000), (16_383, 16_383)]
    {
        assert_too_large(&png_header(width, height), &format!("a PNG of {width} x {height}"));
    }
    // WebP: the canvas of an extended file, and the sizes within a plain one.
    assert_too_large(&webp_canvas(16_384, 16_384), "a WebP of 16384 x 16384");
    assert_too_large(&webp_canvas(8192, 8192), "a WebP of 67 million pixels");
    assert_too_large(&webp_lossless_header(16_383, 16_383), "a lossless WebP of 268 million pixels");
    let mut lossy = vp8(16, 16);
    lossy[14..18].copy_from_slice(&[0, 0x20, 0, 0x20]);
    assert_too_large(&riff(&[lossy]), "a lossy WebP of 8192 x 8192");
    // JPEG: height and width of the frame header.
    let mut bytes = quarters_jpeg(16, 16);
    let frame = bytes.windows(2).position(|marker| marker == [0xFF, 0xC0]).expect("a frame header");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    assert_too_large(&bytes, "a JPEG of 65535 x 65535");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
    assert_too_large(&bytes, "a JPEG of 67 million pixels");
}

fn solid() -> Solid {
    Solid { color: [1, 2, 3], delay: 1, place: [0, 0, 4, 4], dispose: DisposalMethod::Keep }
}

/// A PNG that starts well, and holds a few bytes in place of its rows.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(::png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_chunk(::png::chunk::IDAT, &[0x78, 0x9C, 0x63, 0, 1]).expect("a chunk");
    drop(writer);
    bytes
}

fn webp_canvas(width: u32, height: u32) -> Vec<u8> {
    let plain = webp(&[0; 3 * 4 * 4], (4, 4), image_webp::ColorType::Rgb8);
    riff(&[canvas(0, (width, height)), plain[12..].to_vec()])
}

#[test]
fn a_lie_about_the_size_ends_soon() {
    // 49 million pixels promised, a few bytes there.
    assert!(matches!(outcome(&png_header(7000, 7000)), Err(Error::Malformed(_))));
    assert!(outcome(&webp_canvas(7000, 7000)).is_err());
    let mut bytes = gif(4, 4, &[solid()]);
    bytes[6..10].copy_from_slice(&[0x00, 0x1B, 0x00, 0x1B]);
    outcome(&bytes).expect("a small frame on a canvas of 6912 x 6912 is legal");
    let mut bytes = quarters_jpeg(64, 64);
    let frame = bytes.windows(2).position(|marker| marker == [0xFF, 0xC0]).expect("a frame header");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x1B, 0x58, 0x1B, 0x58]);
    // Rows that are missing may come out grey, but soon.
    let _ = outcome(&bytes);
}

#[test]
fn a_thumbnail_is_no_larger_than_a_function_may_answer() {
    let mut noise = noise();
    let mut bytes = Vec::new();
    let palette: Vec<u8> = (0..256 * 3).map(|_| noise()).collect();
    let mut encoder = ::gif::Encoder::new(&mut bytes, 600, 600, &palette).expect("a header");
    for _ in 0..16 {
        let pixels: Vec<u8> = (0..600 * 600).map(|_| noise()).collect();
        encoder.write_frame(&::gif::Frame::from_indexed_pixels(600, 600, pixels, None)).expect("encodes");
    }
    drop(encoder);
    let transform = Transform { quality: 100, ..boxed(600, 600, Fit::Cover, Format::WebP) };
    let refused = render(&bytes, &transform, &Cancel::never());
    assert_eq!(refused, Err(Error::TooLarge("the thumbnail has more than 4.5 MB")));
}

/// Bytes without an order, the same in each run.
fn noise() -> impl FnMut() -> u8 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

/// A lossless WebP with sizes, and nothing after them.
pub(crate) fn webp_lossless_header(width: u32, height: u32) -> Vec<u8> {
    let sides = (width - 1) | (height - 1) << 14;
    riff(&[chunk(*b"VP8L", &[&[0x2F], &sides.to_le_bytes()[..], &[0; 27]].concat())])
}

#[test]
fn animations_have_an_end() {
    let frames = |count: usize, side: u16| {
        let solid = || Solid { place: [0, 0, 1, 1], ..solid() };
        let frames: Vec<Solid> = (0..count).map(|_| solid()).collect();
        gif(side, side, &frames)
    };
    outcome(&frames(100, 16)).expect("a hundred frames");
    assert_too_large(&frames(101, 16), "101 frames");
    assert_too_large(&frames(60, 1000), "60 million pixels in 60 frames");
    let webp = |count: usize, side: u16| {
        let frames = files::frame((side.into(), side.into()), &[vp8(side, side)]).repeat(count);
        riff(&[canvas(2, (side.into(), side.into())), files::animated(), frames])
    };
    outcome(&webp(100, 16)).expect("a hundred frames of a WebP");
    assert_too_large(&webp(101, 16), "101 frames of a WebP");
    assert_too_large(&webp(51, 1000), "51 million pixels in 51 frames of a WebP");
    // What lies outside of the canvas is not seen, and is unpacked.
    let mut bytes = frames(100, 16);
    let starts: Vec<usize> = bytes.windows(10).zip(0..).filter(|(at, _)| is_frame(at)).map(|(_, at)| at).collect();
    assert_eq!(starts.len(), 100);
    for at in starts {
        bytes[at + 5..at + 9].copy_from_slice(&[0x58, 0x1B, 0x58, 0x1B]);
    }
    assert_too_large(&bytes, "100 frames of 7000 x 7000 on 16 x 16");
}

/// Whether this is the head of a frame of one pixel in the corner of a GIF.
fn is_frame(bytes: &[u8]) -> bool {
    bytes[..9] == [b',', 0, 0, 0, 0, 1, 0, 1, 0]
}

#[test]
fn a_progressive_jpeg_has_at_most_200_scans() {
    let bytes = jpeg(&waves(64, 64), (64, 64), ColorType::Luma, |encoder| {
        encoder.set_progressive(true);
        encoder.set_progressive_scans(10);
    });
    let starts: Vec<usize> =
        bytes.windows(2).zip(0..).filter(|(marker, _)| *marker == [0xFF, 0xDA]).map(|(_, at)| at).collect();
    let last_scan = bytes[starts[starts.len() - 1]..bytes.len() - 2].to_vec();
    let body = &bytes[..bytes.len() - 2];
    let with = |more: usize| [body, &last_scan.repeat(more), &[0xFF, 0xD9]].concat();
    assert!(!matches!(outcome(&with(200 - starts.len())), Err(Error::TooLarge(_))), "200 scans");
    let refused = outcome(&with(201 - starts.len()));
    assert_eq!(refused, Err(Error::TooLarge("it has more than 200 scans")), "201 scans");
}

#[test]
fn a_colour_profile_has_at_most_a_megabyte() {
    let large = vec![7; limits::PROFILE_BYTES + 1];
    let flat = vec![9; 16 * 16 * 3];
    let bytes = jpeg(&flat, (16, 16), ColorType::Rgb, |encoder| encoder.add_icc_profile(&large).expect("fits"));
    assert_too_large(&bytes, "in a JPEG");
    assert_too_large(&files::png_with_profile(limits::PROFILE_BYTES + 1), "in a PNG");
    // Some 300 kB, which would be unpacked as far as there is memory.
    assert_too_large(&files::png_with_profile(300 << 20), "in a PNG, 300 MB");
    outcome(&files::png_with_profile(limits::PROFILE_BYTES)).expect("a profile that is none is left out");
    let mut encoder_bytes = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut encoder_bytes);
    encoder.set_icc_profile(vec![7; limits::PROFILE_BYTES + 1]);
    encoder.encode(&flat, 16, 16, image_webp::ColorType::Rgb8).expect("encodes");
    assert_too_large(&encoder_bytes, "in a WebP");
}

/// One small file of each kind.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let rgb = quarters(40, 30);
    let small = (40, 30);
    let rgba: Vec<u8> = rgb.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 200]).collect();
    let png = png(&rgba, (40, 30), (::png::ColorType::Rgba, BitDepth::Eight), |_| {});
    let quarter = |at: u16, dispose| {
        let color = files::QUARTERS[usize::from(at)];
        Solid { color, delay: 10, place: [at * 10, at * 5, 20, 20], dispose }
    };
    let moving = gif(
        40,
        30,
        &[
            quarter(0, DisposalMethod::Keep),
            quarter(1, DisposalMethod::Previous),
            quarter(2, DisposalMethod::Background),
        ],
    );
    let transparency = chunk(*b"ALPH", &[&[0][..], &[200; 16 * 16]].concat());
    let frame = files::frame((16, 16), &[transparency, vp8(16, 16)]);
    vec![
        ("baseline", jpeg(&rgb, small, ColorType::Rgb, |encoder| encoder.set_sampling_factor(SamplingFactor::R_4_2_0))),
        ("progressive", jpeg(&rgb, small, ColorType::Rgb, |encoder| encoder.set_progressive(true))),
        (
            "turned",
            jpeg(&rgb, small, ColorType::Rgb, |encoder| encoder.add_app_segment(1, files::exif(6)).expect("fits")),
        ),
        ("webp", webp(&rgba, (40, 30), image_webp::ColorType::Rgba8)),
        ("lossy webp", files::thumbnail(&quarters_jpeg(40, 30), boxed(40, 30, Fit::Cover, Format::WebP)).bytes),
        ("webp with transparency", files::thumbnail(&png, boxed(40, 30, Fit::Cover, Format::WebP)).bytes),
        ("animated webp", files::thumbnail(&moving, boxed(40, 30, Fit::Cover, Format::WebP)).bytes),
        ("animated webp with transparency", riff(&[canvas(0x12, (16, 16)), files::animated(), frame.clone(), frame])),
        ("interlaced png", files::interlaced_png(&rgba, (40, 30))),
        ("png with a profile", files::png_with_profile(100)),
        ("gif", gif(4, 4, &[solid(), solid()])),
        ("animated gif", moving),
        ("png", png),
    ]
}

#[test]
fn a_file_may_end_anywhere() {
    for (_, bytes) in samples() {
        for end in 0..bytes.len() {
            // Whatever the answer is: there is one.
            let _ = outcome(&bytes[..end]);
        }
    }
}

#[test]
fn no_noise_makes_it_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (_, bytes) in samples() {
        for _ in 0..400 {
            let mut bytes = bytes.clone();
            for _ in 0..=random() % 8 {
                let at = usize::try_from(random()).expect("64 bits") % bytes.len();
                bytes[at] = random().to_le_bytes()[0];
            }
            let _ = outcome(&bytes);
        }
    }
}
