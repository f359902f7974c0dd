//! Pictures -> thumbnails: bytes in, bytes out. No I/O, no environment, no clock but a deadline.
//!
//! [`Request::parse`] reads what is asked for, [`render`] makes it. The Lambda@Edge function, the regional function and
//! the container all call these two, so their answers have the same bytes.
//!
//! Hostile bytes are parsed by safe Rust only; libwebp sees nothing but pixels. [`limits`] are read from a header before
//! anything is allocated for it.
//!
//! ```
//! use thumbnails_core::{Cancel, Error, Request, Rules, render};
//!
//! let request = Request::parse("a/b.jpg", "h=300&w=300", Some("image/webp"), Rules::default(), 0)?;
//! assert_eq!(request.query(), "w=300&h=300&fit=cover&format=webp&q=80");
//! assert!(matches!(render(b"<svg/>", &request.transform, &Cancel::never()), Err(Error::NotAnImage)));
//! # Ok::<(), thumbnails_core::Refusal>(())
//! ```

mod animate;
mod cancel;
mod color;
mod decode;
mod encode;
mod error;
mod geometry;
pub mod limits;
mod orientation;
mod planes;
mod raster;
mod render;
mod request;
mod resize;
mod shrink;

pub use cancel::Cancel;
pub use error::Error;
pub use render::{Thumbnail, placeholder, render};
pub use request::{Fit, Format, Key, MAX_OUTPUT_SIDE, Refusal, Request, Rules, SigningKey, Size, Transform, WIDTHS};
