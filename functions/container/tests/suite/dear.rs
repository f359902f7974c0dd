//! Pictures that have few bytes and many pixels.

use std::borrow::Cow;

/// A GIF of whole frames, each of which wants back what was there before.
pub(crate) fn gif(side: u16, frames: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, side, side, &[]).expect("a header");
    for color in 0..frames {
        let frame = gif::Frame {
            width: side,
            height: side,
            dispose: gif::DisposalMethod::Previous,
            palette: Some(vec![255 - color, 100, color]),
            buffer: Cow::Owned(vec![0; usize::from(side) * usize::from(side)]),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).expect("encodes");
    }
    drop(encoder);
    bytes
}

/// A PNG of four bytes a pixel, all of them 0, in one pass or in seven.
pub(crate) fn png(side: usize, interlaced: bool) -> Vec<u8> {
    let one = [(0, 0, 1, 1)];
    let seven = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let passes = if interlaced { &seven[..] } else { &one };
    let count = |first: usize, step: usize| (side - first).div_ceil(step);
    // Each row has the number of its filter in front, which is 0 too.
    let rows = passes.iter().map(|(left, top, right, down)| count(*top, *down) * (1 + 4 * count(*left, *right)));
    let sides = u32::try_from(side).expect("small").to_be_bytes();
    let header = [&sides[..], &sides, &[8, 6, 0, 0, u8::from(interlaced)]].concat();
    file(&[(*b"IHDR", header), (*b"IDAT", zeros(rows.sum())), (*b"IEND", Vec::new())])
}

/// A PNG of grey pixels that have nothing in common, so that no coding makes them much smaller.
pub(crate) fn noise(side: u16) -> Vec<u8> {
    let sides = u32::from(side).to_be_bytes();
    let header = [&sides[..], &sides, &[8, 0, 0, 0, 0]].concat();
    let mut random = fastrand::Rng::with_seed(1);
    let mut packed = fdeflate::Compressor::new(Vec::new()).expect("a header");
    for _ in 0..side {
        let row: Vec<u8> = std::iter::once(0).chain((0..side).map(|_| random.u8(..))).collect();
        packed.write_data(&row).expect("packed");
    }
    file(&[(*b"IHDR", header), (*b"IDAT", packed.finish().expect("packed")), (*b"IEND", Vec::new())])
}

/// A PNG of 16 x 16 pixels with a colour profile of so many megabytes.
pub(crate) fn png_with_profile(megabytes: usize) -> Vec<u8> {
    let sides = 16_u32.to_be_bytes();
    let header = [&sides[..], &sides, &[8, 6, 0, 0, 0]].concat();
    let profile = [&b"a name\0\0"[..], &zeros(megabytes << 20)].concat();
    let rows = zeros(16 * (1 + 4 * 16));
    file(&[(*b"IHDR", header), (*b"iCCP", profile), (*b"IDAT", rows), (*b"IEND", Vec::new())])
}

/// A lossless WebP with transparency.
pub(crate) fn webp(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = [9, 9, 9, 200].repeat(side as usize * side as usize);
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    encoder.encode(&pixels, side, side, image_webp::ColorType::Rgba8).expect("encodes");
    bytes
}

/// A PNG of these chunks. The sums are wrong, and nobody looks at them.
fn file(chunks: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1A\n".to_vec();
    for (name, data) in chunks {
        bytes.extend(u32::try_from(data.len()).expect("small").to_be_bytes());
        bytes.extend(name);
        bytes.extend(data);
        bytes.extend([0; 4]);
    }
    bytes
}

/// So many zeros, packed.
fn zeros(count: usize) -> Vec<u8> {
    let mut packed = fdeflate::Compressor::new(Vec::new()).expect("a header");
    let part = vec![0; 1 << 20];
    let mut left = count;
    while left > 0 {
        let length = left.min(part.len());
        packed.write_data(&part[..length]).expect("packed");
        left -= length;
    }
    packed.finish().expect("packed")
}
