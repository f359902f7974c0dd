//! A JPEG decoder that shrinks while it decodes, in safe Rust.
//!
//! A thumbnail needs few of a photo's pixels, and a JPEG file is stored so that an eighth, a quarter or half of each
//! side can be decoded without making all the pixels first. This crate does that, and returns the components as they
//! are stored: brightness and colour differences apart, at their own sizes, neither interpolated nor converted to RGB.
//!
//! ```no_run
//! use thumbnails_jpeg::{Header, Limits, Scale};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = std::fs::read("photo.jpg")?;
//! let header = Header::read(&file, &Limits::default())?;
//! println!("{} x {}, {:?}", header.width(), header.height(), header.color());
//!
//! let scale = Scale::for_shrink(f64::from(header.width()) / 300.0);
//! let picture = header.decode(scale, 0..u32::MAX, || false)?;
//! for plane in &picture.planes {
//!     println!("{} x {} samples", plane.width, plane.height);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when
//!
//! 1. [`Header::read`] parses the file up to its first scan and allocates next to nothing. Size, components, colour
//!    space, Exif and colour profile are known then, and the [`Limits`] on them are checked.
//! 2. [`Header::decode`] decodes the planes at a [`Scale`], but only the rows asked for, and gives up when told to.
//!
//! # What is read
//!
//! Baseline, extended sequential and progressive files with 8 bits a sample, Huffman coding, and one, three or four
//! components of any sampling factors, in interleaved scans or in one for each component, with or without restart
//! markers. Everything else is [`Error::Unsupported`]: arithmetic coding, 12 bits, lossless, hierarchical, and a height
//! that stands behind the first scan.

#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "bit fields and samples, whose ranges are known where they are cast"
)]
#![allow(clippy::inline_always, reason = "the state of the innermost loops must stay in registers")]

mod decode;
mod error;
mod frame;
mod header;
mod huffman;
mod idct;
mod planes;
mod progressive;
mod scan;
mod segments;
mod sequential;
mod source;

pub use error::{Error, Limit};
pub use frame::Component;
pub use header::{Color, Header, Limits};
pub use planes::{Plane, Planes, Scale};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
