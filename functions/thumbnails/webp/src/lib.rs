//! Pixels -> WebP, by libwebp's encoder.
//!
//! The one place of the workspace with `unsafe` for C code. libwebp sees only pixels that safe Rust has decoded and
//! whose number has been checked here; none of its parsers is called.

mod animation;
mod picture;

pub use animation::Animation;
pub use picture::{Image, encode};

/// The largest side of a WebP, in pixels.
pub const MAX_SIDE: u32 = 16_383;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// 0 (small) to 100 (good).
    pub quality: f32,
    /// 0 (fast) to 6 (small).
    pub method: u8,
    /// 1 to 4: kinds of blocks that are told apart, each with a quality of its own.
    pub segments: u8,
    /// 0 to 100: how far noise is moved to where it is seen less. libwebp's own choice is 50.
    pub noise_shaping: u8,
}

/// Why there is no WebP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A side is 0 or larger than [`MAX_SIDE`], or a buffer does not hold as many bytes as the sides say.
    Size,
    /// `cancelled` has said so.
    Cancelled,
    /// libwebp refused or ran out of memory; the number is its own.
    Encoder(u32),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size => f.write_str("the picture's size does not fit"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Encoder(code) => write!(f, "libwebp's encoder failed with code {code}"),
        }
    }
}

impl std::error::Error for Error {}
