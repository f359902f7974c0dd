//! JPEG, no larger than the thumbnail needs it.

use thumbnails_jpeg::{Error as JpegError, Header as JpegHeader, Limit, Limits, Planes as Decoded, Scale};

use super::{Header, Picture, Pixels};
use crate::{
    Cancel, Error,
    geometry::Plan,
    limits,
    orientation::Orientation,
    planes::{Colors, Part, Planes},
    raster::{Layout, Raster},
};

/// Rows around the part that is seen, for the filter: three for each row that comes out, and the coarsest plane has
/// half of the rows.
const REACH: f64 = 2.0 * 3.0;

pub(crate) struct Decoder<'a> {
    file: JpegHeader<'a>,
    header: Header,
    cancel: &'a Cancel,
}

impl<'a> Decoder<'a> {
    pub(super) fn open(bytes: &'a [u8], cancel: &'a Cancel) -> Result<Self, Error> {
        let allowed = Limits {
            pixels: limits::PIXELS,
            side: limits::SIDE,
            scans: limits::SCANS,
            icc: limits::PROFILE_BYTES,
            memory: limits::DECODER_BYTES,
        };
        let file = JpegHeader::read(bytes, &allowed).map_err(failed)?;
        let (width, height) = (file.width(), file.height());
        limits::check(width, height, 1)?;
        let orientation = file.exif().map(Orientation::of_exif_block).unwrap_or_default();
        Ok(Self { file, header: Header { width, height, orientation, frames: 1 }, cancel })
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rows of a picture within the limits
    pub(super) fn picture(self, plan: &Plan) -> Result<Picture, Error> {
        let rows = |scale: Scale| {
            let size = f64::from(scale.denominator());
            let reach = REACH * (plan.shrink() / size).max(1.0);
            let first = (plan.area.top / size - reach).floor().max(0.0);
            let end = ((plan.area.top + plan.area.height) / size + reach).ceil();
            first as u32..end as u32
        };
        // A panorama may have more than fits at the best scale. A little blurred is better than not at all.
        let mut scale = Scale::for_shrink(plan.shrink());
        while let Some(smaller) =
            smaller(scale).filter(|_| self.file.memory(scale, rows(scale)) > limits::DECODER_BYTES)
        {
            scale = smaller;
        }
        let decoded = self.file.decode(scale, rows(scale), || self.cancel.is_set()).map_err(failed)?;
        Ok(Picture { pixels: self.pixels(decoded, plan), profile: self.file.icc() })
    }

    fn pixels(&self, decoded: Decoded, plan: &Plan) -> Pixels {
        let parts: Vec<Part> = decoded
            .planes
            .into_iter()
            .map(|plane| {
                let mut area = plan.area.scaled(plane.scale_x, plane.scale_y);
                area.top -= f64::from(plane.first_row);
                let raster =
                    Raster { width: plane.width, height: plane.height, layout: Layout::Gray, pixels: plane.data };
                Part { raster, area }
            })
            .collect();
        let inverted = self.file.adobe().is_some();
        let colors = match self.file.color() {
            thumbnails_jpeg::Color::Grey => Colors::Gray,
            thumbnails_jpeg::Color::YCbCr => Colors::YCbCr,
            thumbnails_jpeg::Color::Rgb => Colors::Rgb,
            thumbnails_jpeg::Color::Cmyk => Colors::Cmyk { inverted },
            thumbnails_jpeg::Color::Ycck => Colors::Ycck { inverted },
        };
        Pixels::Planes(Planes { parts, colors })
    }
}

fn smaller(scale: Scale) -> Option<Scale> {
    match scale {
        Scale::Full => Some(Scale::Half),
        Scale::Half => Some(Scale::Quarter),
        Scale::Quarter => Some(Scale::Eighth),
        Scale::Eighth => None,
    }
}

fn failed(error: JpegError) -> Error {
    match error {
        JpegError::Cancelled => Error::Cancelled,
        JpegError::TooLarge(limit) => Error::TooLarge(match limit {
            Limit::Pixels => "it has more than 50 million pixels",
            Limit::Side => "a side has more than 16383 pixels",
            Limit::Scans => "it has more than 200 scans",
            Limit::Icc => "its colour profile has more than 1 MB",
            _ => "it takes too much memory",
        }),
        other => Error::malformed(other),
    }
}
