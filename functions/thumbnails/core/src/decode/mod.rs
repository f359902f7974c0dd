//! Bytes -> pixels. The first bytes decide the format, whatever name or type a file came with.

mod gif;
mod jpeg;
mod png;
mod webp;

use crate::{
    Cancel, Error,
    geometry::{Area, Plan},
    limits,
    orientation::Orientation,
    planes::Planes,
    raster::Raster,
};

/// What a header says. It is within the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// As stored, before the picture is turned upright.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) orientation: Orientation,
    /// 1 for a still picture.
    pub(crate) frames: u32,
}

/// A decoded picture, which may be smaller than the source.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) pixels: Pixels,
    /// Its colour profile, where there is one.
    pub(crate) profile: Option<Vec<u8>>,
}

/// Pixels, and the part of them that the plan asked for.
#[derive(Debug)]
pub(crate) enum Pixels {
    /// All channels of a pixel together.
    Packed(Raster, Area),
    /// Each channel apart.
    Planes(Planes),
}

impl Pixels {
    /// The part at its final size. The pixels are used up.
    pub(crate) fn resized(self, size: (u32, u32), cancel: &Cancel) -> Result<Raster, Error> {
        match self {
            Self::Packed(mut raster, area) => raster.resized(area, size, cancel),
            Self::Planes(planes) => planes.resized(size, cancel),
        }
    }
}

/// A frame of an animation: the whole picture, and how many milliseconds it is shown.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// The decoder's own, which makes the next frame whatever was done to this one by [`Raster::resized`].
    pub(crate) raster: &'a mut Raster,
    pub(crate) millis: u32,
}

/// Frames, one after the other.
pub(crate) trait Frames {
    /// The next frame, or nothing after the last one.
    fn next(&mut self) -> Result<Option<Frame<'_>>, Error>;
}

/// A file whose header has been read.
pub(crate) enum Decoder<'a> {
    Gif(gif::Decoder<'a>),
    Jpeg(Box<jpeg::Decoder<'a>>),
    Png(Box<png::Decoder<'a>>),
    WebP(Box<webp::Decoder<'a>>),
}

impl<'a> Decoder<'a> {
    /// Recognises the format and reads the header.
    pub(crate) fn open(bytes: &'a [u8], cancel: &'a Cancel) -> Result<Self, Error> {
        if bytes.len() > limits::INPUT_BYTES {
            return Err(Error::TooLarge("the file has more than 20 MB"));
        }
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg(Box::new(jpeg::Decoder::open(bytes, cancel)?))),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => {
                Ok(Self::Png(Box::new(png::Decoder::open(bytes, cancel)?)))
            }
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                Ok(Self::WebP(Box::new(webp::Decoder::open(bytes, cancel)?)))
            }
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif(gif::Decoder::open(bytes, cancel)?)),
            _ => Err(Error::NotAnImage),
        }
    }

    pub(crate) fn header(&self) -> Header {
        match self {
            Self::Gif(decoder) => decoder.header(),
            Self::Jpeg(decoder) => decoder.header(),
            Self::Png(decoder) => decoder.header(),
            Self::WebP(decoder) => decoder.header(),
        }
    }

    /// The picture; of an animation its first frame.
    pub(crate) fn picture(self, plan: &Plan) -> Result<Picture, Error> {
        match self {
            Self::Gif(decoder) => decoder.picture(plan),
            Self::Jpeg(decoder) => decoder.picture(plan),
            Self::Png(decoder) => decoder.picture(plan),
            Self::WebP(decoder) => decoder.picture(plan),
        }
    }

    /// The frames of an animation, one after the other, its profile, and how often it runs: 0 stands for ever.
    pub(crate) fn animation(self) -> Result<Animation<'a>, Error> {
        match self {
            Self::Gif(decoder) => decoder.animation(),
            Self::WebP(decoder) => decoder.animation(),
            Self::Jpeg(_) | Self::Png(_) => Err(Error::malformed("a still picture")),
        }
    }
}

/// See [`Decoder::animation`].
pub(crate) struct Animation<'a> {
    pub(crate) frames: Box<dyn Frames + 'a>,
    pub(crate) profile: Option<Vec<u8>>,
    pub(crate) loops: u16,
}

/// A decoder's failure; if it is time to stop, then that is the cause.
fn failed(cancel: &Cancel, error: impl std::fmt::Display) -> Error {
    if cancel.is_set() { Error::Cancelled } else { Error::malformed(error) }
}
