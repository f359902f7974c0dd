//! How large a source may be. A shell counts [`INPUT_BYTES`] while it fetches; the rest is read from headers here.

use crate::Error;

/// A file, in bytes.
pub const INPUT_BYTES: usize = 20 * 1024 * 1024;
/// A picture, in pixels; also all frames of an animation together.
pub const PIXELS: u64 = 50_000_000;
/// A side, in pixels.
pub const SIDE: u32 = 16_383;
/// Scans of a progressive JPEG: each one walks over the whole picture.
pub const SCANS: u32 = 200;
/// A colour profile, in bytes.
pub const PROFILE_BYTES: usize = 1024 * 1024;
/// Frames of an animation.
pub const FRAMES: u32 = 100;
/// A thumbnail, in bytes: a Lambda function answers with at most 6 MB, in which it has a third more.
pub const OUTPUT_BYTES: usize = 4_500_000;

/// What a decoder may hold at a time, in bytes: four for each of [`PIXELS`], and some for itself. Few formats need more for
/// a picture that is within the other limits.
pub const DECODER_BYTES: usize = 256 * 1024 * 1024;

/// Holds a picture of so many frames to the limits.
pub(crate) fn check(width: u32, height: u32, frames: u32) -> Result<(), Error> {
    if width == 0 || height == 0 {
        return Err(Error::malformed("a side of 0 pixels"));
    }
    if width > SIDE || height > SIDE {
        return Err(Error::TooLarge("a side has more than 16383 pixels"));
    }
    check_animation(frames, u64::from(width) * u64::from(height) * u64::from(frames))
}

/// Holds frames, and the pixels of all of them together, to the limits.
pub(crate) fn check_animation(frames: u32, pixels: u64) -> Result<(), Error> {
    if frames > FRAMES {
        return Err(Error::TooLarge("the animation has more than 100 frames"));
    }
    if pixels > PIXELS {
        return Err(Error::TooLarge("it has more than 50 million pixels"));
    }
    Ok(())
}

/// Holds what a decoder is about to allocate to its limit, in bytes.
pub(crate) fn check_memory(bytes: u64) -> Result<(), Error> {
    if bytes > DECODER_BYTES as u64 { Err(Error::TooLarge("it takes too much memory")) } else { Ok(()) }
}
