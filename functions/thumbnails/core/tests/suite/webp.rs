//! What a hostile WebP says of its streams, which are looked at before the decoder believes them.

use std::time::{Duration, Instant};

use thumbnails_core::{Cancel, Error, Fit, Format, render};

use crate::{
    clock::cpu_seconds,
    files::{self, boxed, canvas, chunk, riff, vp8, webp},
    hostile::{outcome, webp_lossless_header},
};

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
    let single = |symbol| [(0b101, 3), (symbol, 8)];
    let stream = |red: u64, green: u64| {
        let head = [(0x2F, 8), (15, 14), (15, 14), (0, 4), (0, 2), (1, 1), (0, 3), (0, 1)];
        let codes = [green, red, 0, 0, 0].map(single).concat();
        bits(&[&head[..], &codes].concat())
    };
    let file = |stream: &[u8]| riff(&[chunk(*b"VP8L", stream)]);
    let too_much = Err(Error::TooLarge("it takes too much memory"));
    assert_eq!(outcome(&file(&stream(255, 255))), too_much, "65536 groups");
    assert!(matches!(outcome(&file(&stream(0, 200))), Err(Error::Malformed(_))), "201 groups, and then nothing");
    // Transparency is such a stream without a header.
    let alpha =
        bits(&[&[(1, 8), (0, 2), (1, 1), (0, 3), (0, 1)][..], &[255, 255, 255, 255, 0].map(single).concat()].concat());
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
    let frame = files::frame(small, std::slice::from_ref(&lossless));
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
    let cancel = Cancel::at(Instant::now() + Duration::from_millis(1));
    let refused = render(&file, &boxed(64, 64, Fit::Cover, Format::WebP), &cancel);
    assert_eq!(refused, Err(Error::Cancelled));
    assert!(cpu_seconds() - start < 0.2, "{}", cpu_seconds() - start);
}

/// Numbers of so many bits each, the lowest bit first.
fn bits(numbers: &[(u64, usize)]) -> Vec<u8> {
    let bits: Vec<bool> = numbers.iter().flat_map(|(n, count)| (0..*count).map(move |at| n >> at & 1 == 1)).collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}
