//! What the chunks of a WebP say of themselves, before its decoder believes them. It makes room for whatever the header of
//! a VP8 stream states, and compares that with the canvas afterwards, or not at all where transparency is beside it.

use super::lossless::groups;
use crate::Error;

/// The tables of a group of Huffman codes, in bytes: 4 kB for each of its five codes, and two nodes for each of 3136 symbols.
const GROUP: u64 = 5 * 4096 + 2 * 16 * (280 + 2048 + 3 * 256 + 40);

/// Bytes in front of the chunks of a frame: its place, size and time.
const FRAME: usize = 16;

/// How many bytes the decoder has to hold for the dearest picture of a file. The canvas is within the limits.
///
/// # Errors
/// [`Error::Malformed`] when a VP8 stream is not as large as the canvas or frame that it is for.
pub(super) fn memory(file: &[u8], canvas: (u32, u32), alpha: bool) -> Result<u64, Error> {
    let pixels = u64::from(canvas.0) * u64::from(canvas.1);
    // Pixels as they are shown, and what they are made of. Chunks may come in any order.
    let shown = pixels * if alpha { 4 } else { 3 };
    let (mut lossy, mut transparency, mut others) = (0, 0, 0);
    for chunk in Chunks(file.get(12..).unwrap_or_default()) {
        match &chunk.name {
            b"VP8 " => {
                same(vp8_size(chunk.data)?, canvas)?;
                lossy = planes(pixels);
            }
            b"ALPH" => transparency = alpha_stream(chunk.data, canvas)?,
            // Its pixels have alpha always, and are those that are shown where that counts.
            b"VP8L" => others = others.max(lossless(chunk.data, pixels)? - if alpha { shown } else { 0 }),
            // The canvas stays from one frame to the next.
            b"ANMF" => others = others.max(pixels * 4 + frame(&chunk)?),
            _ => {}
        }
    }
    Ok(shown + others.max(lossy + transparency))
}

/// What a frame takes beside the canvas.
fn frame(chunk: &Chunk<'_>) -> Result<u64, Error> {
    // The decoder goes on after an odd length, everybody else one byte later.
    let Some((info, inner)) = chunk.data.split_at_checked(FRAME).filter(|_| chunk.length.is_multiple_of(2)) else {
        return Err(Error::malformed("a frame is not whole"));
    };
    let side = |at: usize| u32::from_le_bytes([info[at], info[at + 1], info[at + 2], 0]) + 1;
    let (width, height) = (side(6), side(9));
    let pixels = u64::from(width) * u64::from(height);
    let mut chunks = Chunks(inner);
    let first = chunks.next().ok_or_else(|| Error::malformed("a frame is empty"))?;
    match &first.name {
        b"VP8 " => same(vp8_size(first.data)?, (width, height)).map(|()| planes(pixels) + pixels * 3),
        b"ALPH" => {
            let opaque = chunks.next().filter(|chunk| &chunk.name == b"VP8 ");
            let opaque = opaque.ok_or_else(|| Error::malformed("a frame has transparency alone"))?;
            same(vp8_size(opaque.data)?, (width, height))?;
            Ok((pixels + planes(pixels) + pixels * 4).max(alpha_stream(first.data, (width, height))?))
        }
        b"VP8L" => lossless(first.data, pixels),
        _ => Err(Error::malformed("a frame has no picture")),
    }
}

/// Y, U and V.
fn planes(pixels: u64) -> u64 {
    pixels / 2 * 3
}

/// A lossless stream: four bytes a pixel, what it says of its blocks, at the smallest that they can be, and its codes.
fn lossless(stream: &[u8], pixels: u64) -> Result<u64, Error> {
    Ok(pixels * 5 + groups(stream, None)? * GROUP)
}

/// Transparency: a byte a pixel, or a lossless stream without a header.
fn alpha_stream(data: &[u8], (width, height): (u32, u32)) -> Result<u64, Error> {
    let pixels = u64::from(width) * u64::from(height);
    match data {
        [info, stream @ ..] if info & 3 == 1 => Ok(pixels * 5 + groups(stream, Some((width, height)))? * GROUP),
        _ => Ok(pixels),
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
