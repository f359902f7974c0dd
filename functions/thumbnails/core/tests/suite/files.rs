//! Pictures made by code, in every format that is read, and a look at what comes out.

use std::borrow::Cow;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use thumbnails_core::{Cancel, Fit, Format, Size, Thumbnail, Transform, render};

/// The colours of the four quarters of [`quarters`]: top left, top right, bottom left, bottom right.
pub(crate) const QUARTERS: [[u8; 3]; 4] = [[220, 40, 40], [40, 200, 60], [50, 60, 210], [230, 220, 60]];

/// RGB pixels of a picture in four quarters.
pub(crate) fn quarters(width: usize, height: usize) -> Vec<u8> {
    let quarter = |x, y| QUARTERS[usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)];
    (0..height).flat_map(|y| (0..width).flat_map(move |x| quarter(x, y))).collect()
}

/// Grey waves, with detail of every size.
pub(crate) fn waves(width: usize, height: usize) -> Vec<u8> {
    let wave = |x: usize, y: usize| ((x * x / 7 + y * 3) % 256) as u8 / 2 + ((x ^ y) % 128) as u8;
    (0..height).flat_map(|y| (0..width).map(move |x| wave(x, y))).collect()
}

/// A JPEG, with what `prepare` does to its encoder.
pub(crate) fn jpeg(
    pixels: &[u8],
    (width, height): (u16, u16),
    colors: ColorType,
    prepare: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 92);
    prepare(&mut encoder);
    encoder.encode(pixels, width, height, colors).expect("encodes");
    bytes
}

/// A JPEG of four quarters.
pub(crate) fn quarters_jpeg(width: u16, height: u16) -> Vec<u8> {
    jpeg(&quarters(width.into(), height.into()), (width, height), ColorType::Rgb, |encoder| {
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    })
}

/// A block of EXIF data with nothing but an orientation, as JPEG has it.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

/// A PNG, with what `prepare` does to its encoder.
pub(crate) fn png(
    pixels: &[u8],
    (width, height): (u32, u32),
    (color, depth): (png::ColorType, png::BitDepth),
    prepare: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    prepare(&mut encoder);
    encoder.write_header().expect("a header").write_image_data(pixels).expect("encodes");
    bytes
}

/// A lossless WebP.
pub(crate) fn webp(pixels: &[u8], (width, height): (u32, u32), colors: image_webp::ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    image_webp::WebPEncoder::new(&mut bytes).encode(pixels, width, height, colors).expect("encodes");
    bytes
}

/// A PNG of four bytes a pixel whose rows come in seven passes.
pub(crate) fn interlaced_png(pixels: &[u8], (width, height): (usize, usize)) -> Vec<u8> {
    let passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let mut rows = Vec::new();
    for (left, top, right, down) in passes.into_iter().filter(|(left, ..)| *left < width) {
        for y in (top..height).step_by(down) {
            rows.push(0);
            rows.extend((left..width).step_by(right).flat_map(|x| &pixels[(y * width + x) * 4..][..4]));
        }
    }
    let mut bytes = Vec::new();
    let side = |side: usize| u32::try_from(side).expect("small");
    let mut encoder = png::Encoder::new(&mut bytes, side(width), side(height));
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_chunk(png::chunk::IDAT, &fdeflate::compress_to_vec(&rows)).expect("a chunk");
    drop(writer);
    // The last byte of the header; nobody looks at its sum.
    bytes[28] = 1;
    bytes
}

/// A PNG with a colour profile of so many bytes, which mean nothing.
pub(crate) fn png_with_profile(length: usize) -> Vec<u8> {
    let mut packed = fdeflate::Compressor::new(b"a name\0\0".to_vec()).expect("a header");
    let mut left = length;
    while left > 0 {
        let part = left.min(1 << 20);
        packed.write_data(&vec![7; part]).expect("packed");
        left -= part;
    }
    let mut bytes = png(&[9; 16 * 16 * 3], (16, 16), (png::ColorType::Rgb, png::BitDepth::Eight), |_| {});
    let chunk = packed.finish().expect("packed");
    let length = u32::try_from(chunk.len()).expect("small").to_be_bytes();
    // Behind signature and header, which have 33 bytes.
    bytes.splice(33..33, [&length[..], b"iCCP", &chunk, &[0; 4]].concat());
    bytes
}

/// A file of WebP that is made of these chunks.
pub(crate) fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks = chunks.concat();
    let length = u32::try_from(chunks.len() + 4).expect("small").to_le_bytes();
    [&b"RIFF"[..], &length, b"WEBP", &chunks].concat()
}

/// A chunk of a WebP.
pub(crate) fn chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("small").to_le_bytes();
    [&name, &length[..], data, &[0][..data.len() % 2]].concat()
}

/// The chunk that makes a WebP an extended one. Of the flags, 2 is an animation and 16 transparency.
pub(crate) fn canvas(flags: u8, (width, height): (u32, u32)) -> Vec<u8> {
    let side = |side: u32| [(side - 1).to_le_bytes()[0], (side - 1).to_le_bytes()[1], 0];
    chunk(*b"VP8X", &[&[flags, 0, 0, 0][..], &side(width), &side(height)].concat())
}

/// The chunk before the frames of an animation.
pub(crate) fn animated() -> Vec<u8> {
    chunk(*b"ANIM", &[0; 6])
}

/// A frame of an animation in its upper left corner, made of these chunks.
pub(crate) fn frame((width, height): (u32, u32), chunks: &[Vec<u8>]) -> Vec<u8> {
    let side = |side: u32| [(side - 1).to_le_bytes()[0], (side - 1).to_le_bytes()[1], 0];
    chunk(*b"ANMF", &[&[0; 6][..], &side(width), &side(height), &[100, 0, 0, 0], &chunks.concat()].concat())
}

/// The VP8 stream of a picture of four quarters, as a chunk.
pub(crate) fn vp8(width: u16, height: u16) -> Vec<u8> {
    let transform = boxed(width.into(), height.into(), Fit::Cover, Format::WebP);
    thumbnail(&quarters_jpeg(width, height), transform).bytes[12..].to_vec()
}

/// A GIF of solid frames, each with its colour, delay in hundredths of a second, and place.
pub(crate) fn gif(width: u16, height: u16, frames: &[Solid]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[]).expect("a header");
    encoder.set_repeat(gif::Repeat::Infinite).expect("repeats");
    for solid in frames {
        let [left, top, width, height] = solid.place;
        let frame = gif::Frame {
            delay: solid.delay,
            left,
            top,
            width,
            height,
            dispose: solid.dispose,
            palette: Some(solid.color.to_vec()),
            buffer: Cow::Owned(vec![0; usize::from(width) * usize::from(height)]),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).expect("encodes");
    }
    drop(encoder);
    bytes
}

/// A frame of one colour.
pub(crate) struct Solid {
    pub(crate) color: [u8; 3],
    pub(crate) delay: u16,
    /// Left, top, width, height.
    pub(crate) place: [u16; 4],
    pub(crate) dispose: gif::DisposalMethod,
}

/// A box of two sides.
pub(crate) fn boxed(width: u32, height: u32, fit: Fit, format: Format) -> Transform {
    Transform { size: Size { width: Some(width), height: Some(height) }, fit, format, quality: 80 }
}

/// Makes a thumbnail, or fails the test.
pub(crate) fn thumbnail(bytes: &[u8], transform: Transform) -> Thumbnail {
    render(bytes, &transform, &Cancel::never()).expect("a thumbnail")
}

/// The pixels of a WebP, by a decoder that is not libwebp's.
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) alpha: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Pixels {
    pub(crate) fn of_webp(webp: &[u8]) -> Self {
        let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(webp)).expect("a WebP");
        let (width, height) = decoder.dimensions();
        let mut bytes = vec![0; decoder.output_buffer_size().expect("a size")];
        decoder.read_image(&mut bytes).expect("decodes");
        Self { width, height, alpha: decoder.has_alpha(), bytes }
    }

    /// The pixel at these shares of the sides.
    pub(crate) fn at(&self, x: f64, y: f64) -> &[u8] {
        let place = |share: f64, side: u32| (share * f64::from(side)) as usize;
        let bytes = if self.alpha { 4 } else { 3 };
        let at = (place(y, self.height) * self.width as usize + place(x, self.width)) * bytes;
        &self.bytes[at..at + bytes]
    }

    /// Whether the middles of the quarters have these colours, give or take what coarse colours and compression change.
    pub(crate) fn assert_quarters(&self, expected: [[u8; 3]; 4], what: &str) {
        self.assert_within(24, expected, what);
    }

    /// The same, where nothing but rounding may change them.
    pub(crate) fn assert_flat(&self, expected: [u8; 3], what: &str) {
        self.assert_within(3, [expected; 4], what);
    }

    fn assert_within(&self, distance: u8, expected: [[u8; 3]; 4], what: &str) {
        for (place, expected) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].into_iter().zip(expected) {
            let got = self.at(place.0, place.1);
            let near = got.iter().zip(expected).all(|(got, expected)| got.abs_diff(expected) <= distance);
            assert!(near, "{what}: {got:?} instead of {expected:?} at {place:?}");
        }
    }
}
