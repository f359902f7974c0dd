//! What comes out: sizes, formats, animations, placeholders.

use std::time::{Duration, Instant};

use gif::DisposalMethod;
use jpeg_encoder::ColorType;
use png::BitDepth;
use thumbnails_core::{Cancel, Error, Fit, Format, Size, Transform, placeholder, render};

use crate::{
    clock::cpu_seconds,
    files::{Pixels, QUARTERS, Solid, boxed, exif, gif, jpeg, png, quarters, quarters_jpeg, thumbnail, waves, webp},
};

#[test]
fn the_size_is_what_the_file_has() {
    let bytes = quarters_jpeg(301, 200);
    let cases = [
        (boxed(64, 48, Fit::Cover, Format::WebP), (64, 48)),
        (boxed(64, 64, Fit::Contain, Format::WebP), (64, 64)),
        (boxed(64, 64, Fit::Inside, Format::WebP), (64, 43)),
        (boxed(63, 64, Fit::Fill, Format::WebP), (63, 64)),
        (boxed(1000, 1000, Fit::Cover, Format::WebP), (200, 200)),
        (boxed(1000, 1000, Fit::Inside, Format::WebP), (301, 200)),
    ];
    for (transform, size) in cases {
        let thumbnail = thumbnail(&bytes, transform);
        let pixels = Pixels::of_webp(&thumbnail.bytes);
        assert_eq!((pixels.width, pixels.height), size, "{transform:?}");
        assert_eq!((thumbnail.width, thumbnail.height), size, "{transform:?}");
        if transform.fit != Fit::Contain {
            pixels.assert_quarters(QUARTERS, &format!("{transform:?}"));
        }
    }
}

#[test]
fn contain_pads_with_nothing_or_with_white() {
    let bytes = quarters_jpeg(200, 100);
    let pixels = Pixels::of_webp(&thumbnail(&bytes, boxed(64, 64, Fit::Contain, Format::WebP)).bytes);
    assert_eq!((pixels.at(0.5, 0.1)[3], pixels.at(0.5, 0.5)[3], pixels.at(0.5, 0.9)[3]), (0, 255, 0));
    let flat = thumbnail(&bytes, boxed(64, 64, Fit::Contain, Format::Jpeg));
    let again = Pixels::of_webp(&thumbnail(&flat.bytes, boxed(64, 64, Fit::Cover, Format::WebP)).bytes);
    assert!(again.at(0.5, 0.1).iter().all(|value| *value > 245), "{:?}", again.at(0.5, 0.1));
}

#[test]
fn nothing_but_pixels_is_left() {
    let bytes = jpeg(&quarters(300, 200), (300, 200), ColorType::Rgb, |encoder| {
        encoder.add_app_segment(1, exif(1)).expect("fits");
        encoder.add_app_segment(1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>geo</x:xmpmeta>".to_vec()).expect("fits");
        encoder.add_app_segment(13, b"Photoshop 3.0\0 a name".to_vec()).expect("fits");
    });
    let text = png(&quarters(300, 200), (300, 200), (::png::ColorType::Rgb, BitDepth::Eight), |encoder| {
        encoder.add_text_chunk("Author".to_owned(), "Photoshop".to_owned()).expect("fits");
        encoder.add_itxt_chunk("XML:com.adobe.xmp".to_owned(), "<x:xmpmeta/>".to_owned()).expect("fits");
    });
    let mut with_xmp = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut with_xmp);
    encoder.set_xmp_metadata(b"<x:xmpmeta>geo</x:xmpmeta>".to_vec());
    encoder.encode(&quarters(300, 200), 300, 200, image_webp::ColorType::Rgb8).expect("encodes");
    let files = [(&bytes, b"Photoshop"), (&text, b"Photoshop"), (&with_xmp, b"x:xmpmeta")];
    for ((bytes, has), format) in files.iter().flat_map(|at| [(at, Format::WebP), (at, Format::Jpeg)]) {
        let thumbnail = thumbnail(bytes, boxed(64, 64, Fit::Cover, format));
        let holds = |file: &[u8], word: &[u8]| file.windows(word.len()).any(|at| at == word);
        assert!(holds(bytes, *has), "there is something to leave behind");
        for word in [&b"Exif"[..], b"EXIF", b"xmpmeta", b"Photoshop", b"XMP ", b"tEXt"] {
            assert!(!holds(&thumbnail.bytes, word), "{format:?}: {word:?}");
        }
        assert_eq!(thumbnail.format, format);
    }
}

#[test]
fn jpeg_is_progressive_and_quality_counts() {
    let bytes = jpeg(&waves(400, 400), (400, 400), ColorType::Luma, |_| {});
    for format in [Format::WebP, Format::Jpeg] {
        let size = |quality| {
            let transform = Transform { quality, ..boxed(300, 300, Fit::Cover, format) };
            thumbnail(&bytes, transform).bytes.len()
        };
        assert!(size(30) < size(60) && size(60) < size(90), "{format:?}");
    }
    let jpeg = thumbnail(&bytes, boxed(300, 300, Fit::Cover, Format::Jpeg)).bytes;
    assert!(jpeg.windows(2).any(|marker| marker == [0xFF, 0xC2]), "a progressive frame");
}

#[test]
fn the_same_request_has_the_same_bytes() {
    let bytes = quarters_jpeg(333, 222);
    for format in [Format::WebP, Format::Jpeg] {
        let transform = boxed(100, 70, Fit::Cover, format);
        assert_eq!(thumbnail(&bytes, transform), thumbnail(&bytes, transform));
    }
}

#[test]
fn without_a_size_it_is_the_picture_itself_up_to_2048() {
    let size = Size { width: None, height: None };
    let transform = Transform { size, fit: Fit::Cover, format: Format::WebP, quality: 80 };
    let small = thumbnail(&quarters_jpeg(300, 200), transform);
    assert_eq!((small.width, small.height), (300, 200));
    let large = thumbnail(&quarters_jpeg(3000, 200), transform);
    assert_eq!((large.width, large.height), (2048, 137));
}

fn frame(color: [u8; 3], delay: u16, place: [u16; 4], dispose: DisposalMethod) -> Solid {
    Solid { color, delay, place, dispose }
}

#[test]
fn an_animation_stays_one() {
    let whole = [0, 0, 60, 40];
    let frames = [
        frame([200, 0, 0], 5, whole, DisposalMethod::Keep),
        frame([0, 0, 200], 0, [0, 0, 30, 40], DisposalMethod::Previous),
        frame([0, 200, 0], 20, [30, 0, 30, 40], DisposalMethod::Background),
        frame([9, 9, 9], 7, [0, 0, 1, 1], DisposalMethod::Keep),
    ];
    let bytes = gif(60, 40, &frames);
    let animated = thumbnail(&bytes, boxed(30, 20, Fit::Cover, Format::WebP));
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&animated.bytes)).expect("a WebP");
    assert!(decoder.is_animated());
    decoder.set_background_color([0; 4]).expect("animated");
    assert_eq!((decoder.num_frames(), decoder.loop_count()), (4, image_webp::LoopCount::Forever));
    let mut shown = Vec::new();
    for _ in 0..4 {
        let mut bytes = vec![0; decoder.output_buffer_size().expect("a size")];
        let millis = decoder.read_frame(&mut bytes).expect("a frame");
        let pixels = Pixels { width: 30, height: 20, alpha: decoder.has_alpha(), bytes };
        let side = |x: f64| match pixels.at(x, 0.6) {
            [_, _, _, 0] => "nothing",
            [red, ..] if *red > 128 => "red",
            [_, green, ..] if *green > 128 => "green",
            [_, _, blue, ..] if *blue > 128 => "blue",
            other => panic!("{other:?}"),
        };
        shown.push((millis, side(0.25), side(0.75)));
    }
    let expected = [(50, "red", "red"), (100, "blue", "red"), (200, "red", "green"), (70, "red", "nothing")];
    assert_eq!(shown, expected, "delays, and what each frame leaves behind");

    let still = thumbnail(&bytes, boxed(30, 20, Fit::Cover, Format::Jpeg));
    let first = Pixels::of_webp(&thumbnail(&still.bytes, boxed(30, 20, Fit::Cover, Format::WebP)).bytes);
    assert!(first.at(0.25, 0.5)[0] > 180, "the first frame");
    let again = thumbnail(&animated.bytes, boxed(16, 16, Fit::Cover, Format::WebP));
    let decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&again.bytes)).expect("a WebP");
    assert_eq!((decoder.num_frames(), decoder.dimensions()), (4, (16, 16)), "an animated WebP stays one, too");
}

#[test]
fn an_animation_runs_as_often_as_before() {
    // A GIF says how often it is repeated, a WebP how often it runs.
    for (repeat, runs) in [(::gif::Repeat::Finite(2), 3), (::gif::Repeat::Finite(u16::MAX), u16::MAX)] {
        let mut bytes = Vec::new();
        let mut encoder = ::gif::Encoder::new(&mut bytes, 8, 8, &[200, 0, 0, 0, 0, 200]).expect("a header");
        encoder.set_repeat(repeat).expect("repeats");
        for color in [0, 1] {
            encoder.write_frame(&::gif::Frame::from_indexed_pixels(8, 8, vec![color; 64], None)).expect("encodes");
        }
        drop(encoder);
        let mut made = thumbnail(&bytes, boxed(8, 8, Fit::Cover, Format::WebP)).bytes;
        for _ in 0..2 {
            let decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&made)).expect("a WebP");
            let times = std::num::NonZeroU16::new(runs).expect("not 0");
            assert_eq!(decoder.loop_count(), image_webp::LoopCount::Times(times));
            made = thumbnail(&made, boxed(8, 8, Fit::Cover, Format::WebP)).bytes;
        }
    }
}

#[test]
fn a_frame_may_lie_outside_of_the_canvas() {
    let frames = [
        frame([200, 0, 0], 5, [10, 10, 60, 60], DisposalMethod::Background),
        frame([0, 200, 0], 5, [90, 90, 5, 5], DisposalMethod::Previous),
    ];
    let animated = thumbnail(&gif(20, 20, &frames), boxed(16, 16, Fit::Cover, Format::WebP));
    assert_eq!((animated.width, animated.height), (16, 16));
}

#[test]
fn a_placeholder_is_small_and_has_the_colours() {
    let hash = placeholder(&quarters_jpeg(600, 400), &Cancel::never()).expect("a placeholder");
    assert!((5..=30).contains(&hash.len()), "{}", hash.len());
    let (width, height, pixels) = thumbhash::thumb_hash_to_rgba(&hash).expect("decodes");
    assert!((width * 2).abs_diff(height * 3) <= 5, "the shape: {width}x{height}");
    let middle = |x: usize, y: usize| &pixels[(y * width + x) * 4..][..3];
    let (top_left, bottom_left) = (middle(width / 4, height / 4), middle(width / 4, height * 3 / 4));
    assert!(top_left[0] > top_left[2] && bottom_left[2] > bottom_left[0], "{top_left:?} {bottom_left:?}");
}

#[test]
fn a_panorama_is_decoded_at_a_scale_that_fits() {
    // At its full size, 12000 x 4000 pixels of three colours would be 290 MB of coefficients.
    let bytes = jpeg(&quarters(12_000, 4_000), (12_000, 4_000), ColorType::Rgb, |encoder| {
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
        encoder.set_progressive(true);
    });
    let thumbnail = thumbnail(&bytes, boxed(2048, 2048, Fit::Cover, Format::WebP));
    assert_eq!((thumbnail.width, thumbnail.height), (2048, 2048));
    Pixels::of_webp(&thumbnail.bytes).assert_quarters(QUARTERS, "a panorama");
}

#[test]
fn it_stops_when_it_is_told_to() {
    let bytes = jpeg(&waves(4000, 4000), (4000, 4000), ColorType::Luma, |encoder| encoder.set_progressive(true));
    let transform = boxed(2000, 2000, Fit::Cover, Format::WebP);
    let start = cpu_seconds();
    let cancel = Cancel::at(Instant::now() + Duration::from_millis(10));
    assert_eq!(render(&bytes, &transform, &cancel), Err(Error::Cancelled));
    assert!(cpu_seconds() - start < 0.5, "{:.3} s", cpu_seconds() - start);
    let given_up = Cancel::never();
    given_up.clone().cancel();
    assert_eq!(render(&bytes, &transform, &given_up), Err(Error::Cancelled));
    assert_eq!(placeholder(&bytes, &given_up), Err(Error::Cancelled));
}

#[test]
fn every_format_stops_when_it_is_told_to() {
    let rgb = quarters(3000, 2000);
    let colors = [[200, 0, 0], [0, 200, 0]].map(|color| frame(color, 5, [0, 0, 1500, 1000], DisposalMethod::Keep));
    let files = [
        ("PNG", png(&rgb, (3000, 2000), (::png::ColorType::Rgb, BitDepth::Eight), |_| {})),
        ("WebP", webp(&rgb, (3000, 2000), image_webp::ColorType::Rgb8)),
        ("GIF", gif(1500, 1000, &colors)),
    ];
    for (what, bytes) in files {
        for format in [Format::WebP, Format::Jpeg] {
            let cancel = Cancel::at(Instant::now() + Duration::from_millis(1));
            let transform = boxed(1000, 1000, Fit::Cover, format);
            assert_eq!(render(&bytes, &transform, &cancel), Err(Error::Cancelled), "{what}");
        }
    }
}
