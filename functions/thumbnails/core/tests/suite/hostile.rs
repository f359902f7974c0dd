//! Bombs, lies and noise: each is refused or survived, and none takes long.

use ::gif::DisposalMethod;
use jpeg_encoder::{ColorType, SamplingFactor};
use png::BitDepth;
use thumbnails_core::{Cancel, Error, Fit, Format, Transform, limits, render};

use crate::files::{
    self, Solid, boxed, canvas, chunk, gif, jpeg, png, quarters, quarters_jpeg, riff, vp8, waves, webp,
};

/// CPU time that one file may take, whatever it says.
const SECONDS: f64 = 1.0;

/// What rendering a file at 64 x 64 ends in. It takes no longer than it may, and no decoder panics.
fn outcome(bytes: &[u8]) -> Result<(), Error> {
    let start = cpu_seconds();
    let result = render(bytes, &boxed(64, 64, Fit::Cover, Format::WebP), &Cancel::never());
    let took = cpu_seconds() - start;
    assert!(took < SECONDS, "{took} s: {result:?}");
    let panicked = matches!(&result, Err(Error::Malformed(why)) if why.starts_with("a decoder panicked"));
    assert!(!panicked, "{result:?}");
    result.map(|_| ())
}

/// CPU time of this thread so far; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    // The system counts when it looks at a thread again.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0.0) / 1e9
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
    for (width, height) in [(50_000_u32, 50_000_u32), (u32::MAX, 1), (16_384, 1), (8000, 8000)] {
        let header = png_header(width, height);
        assert!(matches!(outcome(&header), Err(Error::TooLarge(_) | Error::Malformed(_))), "{width}x{height}");
    }
    assert_too_large(&png_header(16_383, 16_383), "a PNG of 268 million pixels");
    // WebP: the canvas of an extended file, and the sizes within a plain one.
    assert_too_large(&webp_canvas(16_384, 16_384), "a WebP of 16384 x 16384");
    assert_too_large(&webp_canvas(8192, 8192), "a WebP of 67 million pixels");
    let lossless = [&b"RIFF\x1E\0\0\0WEBPVP8L\x11\0\0\0\x2F"[..], &[0xFF; 24]].concat();
    assert!(matches!(outcome(&lossless), Err(Error::TooLarge(_) | Error::Malformed(_))));
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
fn the_streams_of_a_webp_are_as_large_as_they_should_be() {
    let lie = Err(Error::Malformed("a stream is not as large as its frame".to_owned()));
    let small = (16, 16);
    // The decoder makes room for what a stream says, and looks at the canvas later.
    let mut huge = vp8(16, 16);
    huge[14..18].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
    assert_eq!(outcome(&riff(&[canvas(0, small), huge.clone()])), lie, "a picture of 268 million pixels");
    let frames = |inner: &[Vec<u8>]| {
        let frame = files::frame(small, inner);
        riff(&[canvas(0x12, small), files::animated(), frame.clone(), frame])
    };
    assert_eq!(outcome(&frames(&[huge])), lie, "a frame of 268 million pixels");
    // Beside transparency it never looks.
    let transparency = chunk(*b"ALPH", &[&[0][..], &[255; 16 * 16]].concat());
    assert_eq!(outcome(&frames(&[transparency.clone(), vp8(64, 64)])), lie, "a frame of 64 x 64");
    outcome(&frames(&[transparency.clone(), vp8(16, 16)])).expect("all of one size");
    // A length that the decoder and this check would not go on from in the same place.
    let mut odd = files::frame(small, &[vp8(16, 16)]);
    odd[4] += 1;
    odd.push(0);
    let odd = riff(&[canvas(0x12, small), files::animated(), odd.clone(), odd]);
    assert!(matches!(outcome(&odd), Err(Error::Malformed(_))), "{:?}", outcome(&odd));
}

#[test]
fn what_a_decoder_would_hold_is_bounded() {
    // Lossless without alpha: the decoder has all pixels twice.
    let bytes = webp_lossless_header(7000, 7000);
    assert_eq!(outcome(&bytes), Err(Error::TooLarge("it takes too much memory")));
    assert!(matches!(outcome(&webp_lossless_header(5000, 5000)), Err(Error::Malformed(_))));
}

#[test]
fn tables_are_counted_before_they_are_made() {
    // 16 x 16 pixels. Where there is one group of codes for each block, the largest number of a block tells how many.
    let stream = |red: u64, green: u64| {
        let single = |symbol| [(0b101, 3), (symbol, 8)];
        let head = [(0x2F, 8), (15, 14), (15, 14), (0, 4), (0, 2), (1, 1), (0, 3), (0, 1)];
        let codes = [green, red, 0, 0, 0].map(single).concat();
        bits(&[&head[..], &codes].concat())
    };
    let file = |stream: &[u8]| riff(&[chunk(*b"VP8L", stream)]);
    let too_much = Err(Error::TooLarge("it takes too much memory"));
    assert_eq!(outcome(&file(&stream(255, 255))), too_much, "65536 groups");
    assert!(matches!(outcome(&file(&stream(0, 200))), Err(Error::Malformed(_))), "201 groups, and then nothing");
    // Transparency is such a stream without a header.
    let alpha = bits(&[&[(1, 8), (0, 2), (1, 1), (0, 3), (0, 1)][..], &[[(0b101, 3), (255, 8)]; 5].concat()].concat());
    let alpha = chunk(*b"ALPH", &alpha);
    let still = riff(&[canvas(0x10, (16, 16)), alpha.clone(), vp8(16, 16)]);
    assert_eq!(outcome(&still), too_much, "transparency");
    let frame = files::frame((16, 16), &[alpha, vp8(16, 16)]);
    let animated = riff(&[canvas(0x12, (16, 16)), files::animated(), frame.clone(), frame]);
    assert_eq!(outcome(&animated), too_much, "transparency of a frame");
}

/// The stream of a lossless picture of 16384 x 16384 that has its blocks over and over again and takes no bits for them.
fn endless_stream() -> Vec<u8> {
    let empty = |head: &[(u64, usize)]| [head, &[(0b101, 3), (0, 8)].repeat(5)].concat();
    let transform = empty(&[(1, 1), (0, 2), (0, 3), (0, 1)]);
    let head = [(0x2F, 8), (16383, 14), (16383, 14), (0, 4)];
    bits(&[&head[..], &transform.repeat(4), &empty(&[(0, 1), (0, 1), (1, 1), (0, 3), (0, 1)])].concat())
}

#[test]
fn many_streams_in_one_file_take_no_time() {
    let (small, stream) = ((16, 16), endless_stream());
    let malformed = |file: &[u8], what: &str| {
        assert!(matches!(outcome(file), Err(Error::Malformed(_))), "{what}: {:?}", outcome(file));
    };
    let lossless = chunk(*b"VP8L", &stream);
    malformed(&riff(&[canvas(0, small), lossless.repeat(200)]), "pictures");
    let transparency = chunk(*b"ALPH", &[&[1][..], &stream[5..]].concat());
    malformed(&riff(&[canvas(0x10, small), transparency.repeat(200), vp8(16, 16)]), "transparencies");
    let frame = files::frame((1 << 24, 1 << 24), &[lossless]);
    malformed(&riff(&[canvas(0, small), frame.repeat(200), vp8(16, 16)]), "frames of a still picture");
    malformed(&riff(&[canvas(2, small), files::animated(), frame.repeat(90)]), "frames outside of the canvas");
}

#[test]
fn a_webp_has_one_picture_or_frames() {
    let (small, pixels) = ((16, 16), [7; 16 * 16 * 3]);
    let lossless = webp(&pixels, small, image_webp::ColorType::Rgb8)[12..].to_vec();
    let transparency = chunk(*b"ALPH", &[&[0][..], &[255; 16 * 16]].concat());
    let twice = Err(Error::Malformed("it has a second picture".to_owned()));
    assert_eq!(outcome(&riff(&[canvas(0, small), lossless.repeat(2)])), twice);
    assert_eq!(outcome(&riff(&[canvas(0, small), vp8(16, 16).repeat(2)])), twice);
    assert_eq!(outcome(&riff(&[canvas(0x10, small), transparency.repeat(2), vp8(16, 16)])), twice);
    outcome(&riff(&[canvas(0x10, small), transparency, vp8(16, 16)])).expect("one of each");
    // The decoder would take the transparency of the first frame for that of the picture.
    let frame = files::frame(small, &[lossless.clone()]);
    let frames = Err(Error::Malformed("a still picture has frames".to_owned()));
    assert_eq!(outcome(&riff(&[canvas(0, small), lossless, frame.clone()])), frames);
    let outside = files::frame((17, 16), &[vp8(17, 16)]);
    let outside = outcome(&riff(&[canvas(2, small), files::animated(), frame, outside]));
    assert_eq!(outside, Err(Error::Malformed("a frame is not within the canvas".to_owned())));
    let wide = webp(&[7; 17 * 16 * 3], (17, 16), image_webp::ColorType::Rgb8)[12..].to_vec();
    let lie = Err(Error::Malformed("a stream is not as large as its frame".to_owned()));
    assert_eq!(outcome(&riff(&[canvas(0, small), wide])), lie);
}

#[test]
fn looking_at_blocks_can_be_given_up() {
    // 49 million pixels with blocks of 4 x 4, two times over, of whose numbers each takes a bit.
    let singles = [(0b101, 3), (0, 8)].repeat(4);
    let codes = [&[(0, 3), (0, 1), (0b0011, 4), (255, 8)][..], &singles].concat();
    let zeros = vec![(0, 1); 1750 * 1750];
    let head = [(0x2F, 8), (6999, 14), (6999, 14), (0, 4)];
    let blocks = |transform| [&[(1, 1), (transform, 2)][..], &codes, &zeros].concat();
    let stream = bits(&[&head[..], &blocks(0), &blocks(1), &[(0, 60)]].concat());
    let file = riff(&[chunk(*b"VP8L", &stream)]);
    let start = cpu_seconds();
    let cancel = Cancel::at(std::time::Instant::now() + std::time::Duration::from_millis(1));
    let refused = render(&file, &boxed(64, 64, Fit::Cover, Format::WebP), &cancel);
    assert_eq!(refused, Err(Error::Cancelled));
    assert!(cpu_seconds() - start < 0.02, "{}", cpu_seconds() - start);
}

/// Numbers of so many bits each, the lowest bit first.
fn bits(numbers: &[(u64, usize)]) -> Vec<u8> {
    let bits: Vec<bool> = numbers.iter().flat_map(|(n, count)| (0..*count).map(move |at| n >> at & 1 == 1)).collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
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
fn webp_lossless_header(width: u32, height: u32) -> Vec<u8> {
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
