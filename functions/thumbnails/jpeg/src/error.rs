//! What can go wrong.

use std::fmt;

/// Why a picture was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The data do not start with the marker that every JPEG file starts with.
    NotJpeg,
    /// The data end before the first scan, or before the picture's first row.
    Truncated,
    /// The data contradict the standard, or themselves.
    Malformed(&'static str),
    /// A valid file of a kind that this crate does not read. Another decoder might.
    Unsupported(&'static str),
    /// The picture is larger than the caller allows.
    TooLarge(Limit),
    /// The caller's `cancel` said so.
    Cancelled,
}

/// Which of the [`Limits`](crate::Limits) was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::pixels`](crate::Limits::pixels).
    Pixels,
    /// [`Limits::side`](crate::Limits::side).
    Side,
    /// [`Limits::scans`](crate::Limits::scans).
    Scans,
    /// [`Limits::icc`](crate::Limits::icc).
    Icc,
    /// [`Limits::memory`](crate::Limits::memory).
    Memory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJpeg => f.write_str("not a JPEG file"),
            Self::Truncated => f.write_str("the JPEG file ends too early"),
            Self::Malformed(what) => write!(f, "malformed JPEG file: {what}"),
            Self::Unsupported(what) => write!(f, "unsupported kind of JPEG file: {what}"),
            Self::TooLarge(limit) => write!(f, "the JPEG file passes the limit of {limit}"),
            Self::Cancelled => f.write_str("decoding was cancelled"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pixels => "pixels",
            Self::Side => "pixels a side",
            Self::Scans => "scans",
            Self::Icc => "bytes of colour profile",
            Self::Memory => "bytes of memory",
        })
    }
}

impl std::error::Error for Error {}
