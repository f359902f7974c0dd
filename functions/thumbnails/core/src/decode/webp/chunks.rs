//! What the chunks of a WebP say of themselves, before its decoder believes them. It makes room for whatever the header of
//! a VP8 stream states, and compares that with the canvas afterwards, or not at all where transparency is beside it.

use super::lossless::groups;
use crate::{Cancel, Error, limits};

/// The tables of a group of Huffman codes, in bytes: 4 kB for each of its five codes, and two nodes for each of 3136 symbols.
const GROUP: u64 = 5 * 4096 + 2 * 16 * (280 + 2048 + 3 * 256 + 40);

/// Bytes in front of the chunks of a frame: its place, size and time.
const FRAME: usize = 16;

/// What the decoder takes a file for.
pub(super) struct Canvas {
    /// Width and height, which are within the limits.
    pub(super) size: (u32, u32),
    /// Whether pixels are shown with their transparency.
    pub(super) alpha: bool,
    /// Whether there are frames on it.
    pub(super) animated: bool,
}

/// How many bytes the decoder has to hold for the dearest picture of a file.
///
/// # Errors
/// [`Error::Malformed`] when a stream is not as large as the canvas or frame that it is for, and when there are more
/// pictures than the decoder shows: each would have to be looked at.
pub(super) fn memory(file: &[u8], canvas: &Canvas, cancel: &Cancel) -> Result<u64, Error> {
    let pixels = pixels(canvas.size);
    // Pixels as they are shown, and what they are made of. Chunks may come in any order.
    let shown = pixels * if canvas.alpha { 4 } else { 3 };
    let (mut lossy, mut transparency, mut others) = (None, None, None);
    let (mut frames, mut dearest) = (0, 0);
    for chunk in Chunks(file.get(12..).unwrap_or_default()) {
        cancel.check()?;
        match &chunk.name {
            b"VP8 " => {
                same(vp8_size(chunk.data)?, canvas.size)?;
                once(&mut lossy, || Ok(planes(pixels)))?;
            }
            b"ALPH" => once(&mut transparency, || alpha_stream(chunk.data, canvas.size, cancel))?,
            // Its pixels have alpha always, and are those that are shown where that counts.
            b"VP8L" => once(&mut others, || {
                Ok(lossless(chunk.data, canvas.size, cancel)? - if canvas.alpha { shown } else { 0 })
            })?,
            // Those of the first frame would be taken for the picture's own.
            b"ANMF" if !canvas.animated => return Err(Error::malformed("a still picture has frames")),
            // The canvas stays from one frame to the next.
            b"ANMF" => {
                frames += 1;
                limits::check_animation(frames, pixels * u64::from(frames))?;
                dearest = dearest.max(pixels * 4 + frame(&chunk, canvas.size, cancel)?);
            }
            _ => {}
        }
    }
    let [lossy, transparency, others] = [lossy, transparency, others].map(Option::unwrap_or_default);
    Ok(shown + dearest.max(others).max(lossy + transparency))
}

/// The decoder takes the first chunk of a name, and there is no reason for another one.
fn once(of: &mut Option<u64>, bytes: impl FnOnce() -> Result<u64, Error>) -> Result<(), Error> {
    if of.is_some() {
        return Err(Error::malformed("it has a second picture"));
    }
    *of = Some(bytes()?);
    Ok(())
}

/// What a frame takes beside the canvas.
fn frame(chunk: &Chunk<'_>, canvas: (u32, u32), cancel: &Cancel) -> Result<u64, Error> {
    // The decoder goes on after an odd length, everybody else one byte later.
    let Some((info, inner)) = chunk.data.split_at_checked(FRAME).filter(|_| chunk.length.is_multiple_of(2)) else {
        return Err(Error::malformed("a frame is not whole"));
    };
    let number = |at: usize| u32::from_le_bytes([info[at], info[at + 1], info[at + 2], 0]);
    let size = (number(6) + 1, number(9) + 1);
    if number(0) * 2 + size.0 > canvas.0 || number(3) * 2 + size.1 > canvas.1 {
        return Err(Error::malformed("a frame is not within the canvas"));
    }
    let pixels = pixels(size);
    let mut chunks = Chunks(inner);
    let first = chunks.next().ok_or_else(|| Error::malformed("a frame is empty"))?;
    match &first.name {
        b"VP8 " => same(vp8_size(first.data)?, size).map(|()| planes(pixels) + pixels * 3),
        b"ALPH" => {
            let opaque = chunks.next().filter(|chunk| &chunk.name == b"VP8 ");
            let opaque = opaque.ok_or_else(|| Error::malformed("a frame has transparency alone"))?;
            same(vp8_size(opaque.data)?, size)?;
            Ok((pixels + planes(pixels) + pixels * 4).max(alpha_stream(first.data, size, cancel)?))
        }
        b"VP8L" => lossless(first.data, size, cancel),
        _ => Err(Error::malformed("a frame has no picture")),
    }
}

fn pixels((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// Y, U and V.
fn planes(pixels: u64) -> u64 {
    pixels / 2 * 3
}

/// A lossless stream: four bytes a pixel, what it says of its blocks, at the smallest that they can be, and its codes.
fn lossless(stream: &[u8], size: (u32, u32), cancel: &Cancel) -> Result<u64, Error> {
    let [0x2F, s0, s1, s2, s3, stream @ ..] = stream else {
        return Err(Error::malformed("a stream has no header"));
    };
    let sides = u32::from_le_bytes([*s0, *s1, *s2, *s3]);
    same(((sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1), size)?;
    Ok(pixels(size) * 5 + groups(stream, size, cancel)? * GROUP)
}

/// Transparency: a byte a pixel, or a lossless stream without a header.
fn alpha_stream(data: &[u8], size: (u32, u32), cancel: &Cancel) -> Result<u64, Error> {
    match data {
        [info, stream @ ..] if info & 3 == 1 => Ok(pixels(size) * 5 + groups(stream, size, cancel)? * GROUP),
        _ => Ok(pixels(size)),
    }
}

fn same(stream: (u32, u32), expected: (u32, u32)) -> Result<(), Error> {
    if stream == expected { Ok(()) } else { Err(Error::malformed("a stream is not as large as its frame")) }
}

/// The sides that the header of a VP8 stream states.
fn vp8_size(stream: &[u8]) -> Result<(u32, u32), Error> {
    let [_, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] = *stream else {
        return Err(Error::malformed("a stream has no header"));
    };
    // The upper two bits are for scaling.
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    Ok((side(w0, w1), side(h0, h1)))
}

struct Chunk<'a> {
    name: [u8; 4],
    /// As it is stated.
    length: u32,
    /// As much of it as there is.
    data: &'a [u8],
}

/// Chunks, one after the other.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let ([n0, n1, n2, n3, length @ ..], rest) = self.0.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*length);
        let end = usize::try_from(length).unwrap_or(usize::MAX);
        self.0 = rest.get(end.saturating_add(end % 2)..).unwrap_or_default();
        Some(Chunk { name: [*n0, *n1, *n2, *n3], length, data: &rest[..end.min(rest.len())] })
    }
}
