//! Why there is no thumbnail.

use std::fmt;

/// Why there is no thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file is none of JPEG, PNG, WebP and GIF, by its first bytes.
    NotAnImage,
    /// The file starts like a picture and is broken; the text is for a log.
    Malformed(String),
    /// The picture is over a limit, or its thumbnail is.
    TooLarge(&'static str),
    /// The caller has given up, or the time is over.
    Cancelled,
    /// The encoder failed; the text is for a log.
    Encoder(String),
}

impl Error {
    pub(crate) fn malformed(why: impl fmt::Display) -> Self {
        Self::Malformed(why.to_string())
    }

    pub(crate) fn encoder(why: impl fmt::Display) -> Self {
        Self::Encoder(why.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => f.write_str("this is not a JPEG, PNG, WebP or GIF"),
            Self::Malformed(why) => write!(f, "the picture is broken: {why}"),
            Self::TooLarge(why) => write!(f, "the picture is too large: {why}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Encoder(why) => write!(f, "the thumbnail cannot be encoded: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<thumbnails_webp::Error> for Error {
    fn from(error: thumbnails_webp::Error) -> Self {
        match error {
            thumbnails_webp::Error::Cancelled => Self::Cancelled,
            other => Self::encoder(other),
        }
    }
}
