//! PNG. Of an animated one the still picture.

use png::{ColorType, Limits, Reader, Transformations};

use super::{Header, Picture, Pixels, failed, profile};
use crate::{
    Cancel, Error, cancel::Source, geometry::Plan, limits, orientation::Orientation, raster::Layout, shrink::Shrinker,
};

pub(crate) struct Decoder<'a> {
    reader: Reader<Source<'a>>,
    header: Header,
    cancel: &'a Cancel,
}

impl<'a> Decoder<'a> {
    pub(super) fn open(bytes: &'a [u8], cancel: &'a Cancel) -> Result<Self, Error> {
        let allowed = Limits { bytes: limits::DECODER_BYTES };
        let mut decoder = png::Decoder::new_with_limits(Source::new(bytes, cancel), allowed);
        decoder.set_ignore_text_chunk(true);
        // A wrong sum is no reason to show nothing, and a right one no reason to trust the file.
        decoder.ignore_checksums(true);
        // 8 bits a channel, and no palettes.
        decoder.set_transformations(Transformations::normalize_to_color8());
        let (width, height) = decoder.read_header_info().map_err(|error| failed(cancel, error))?.size();
        limits::check(width, height, 1)?;
        let reader = decoder.read_info().map_err(|error| failed(cancel, error))?;
        let exif = reader.info().exif_metadata.as_deref();
        let orientation = exif.map(Orientation::of_exif_block).unwrap_or_default();
        Ok(Self { reader, header: Header { width, height, orientation, frames: 1 }, cancel })
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rows of a picture within the limits
    pub(super) fn picture(mut self, plan: &Plan) -> Result<Picture, Error> {
        let profile = profile(self.reader.info().icc_profile.as_deref().map(<[u8]>::to_vec))?;
        let (stored, layout) = match self.reader.output_color_type().0 {
            ColorType::Grayscale => (1, Layout::Gray),
            ColorType::GrayscaleAlpha => (2, Layout::Rgba),
            ColorType::Rgba => (4, Layout::Rgba),
            ColorType::Rgb | ColorType::Indexed => (3, Layout::Rgb),
        };
        let factor = Shrinker::factor_for(plan.shrink());
        let mut shrinker = Shrinker::new(factor, self.header.width, layout);
        // Rows below the part that is seen need not be unpacked. The filter reaches a little over the edge.
        let reach = 3.0 * plan.shrink().max(1.0) + 1.0;
        let end = ((plan.area.top + plan.area.height + reach).ceil() as usize).min(self.header.height as usize);
        let mut wide = Vec::new();
        let mut push = |row: &[u8]| {
            if stored == 2 {
                wide.clear();
                wide.extend(row.as_chunks().0.iter().flat_map(|[gray, alpha]| [*gray, *gray, *gray, *alpha]));
                shrinker.push(&wide);
            } else {
                shrinker.push(row);
            }
        };
        if self.reader.info().interlaced {
            let size = self.reader.output_buffer_size().ok_or_else(|| Error::malformed("too many bytes"))?;
            let mut whole = vec![0; size];
            self.reader.next_frame(&mut whole).map_err(|error| failed(self.cancel, error))?;
            whole.chunks_exact(self.header.width as usize * stored).take(end).for_each(push);
        } else {
            for _ in 0..end {
                let row = self.reader.next_row().map_err(|error| failed(self.cancel, error))?;
                push(row.ok_or_else(|| failed(self.cancel, "rows are missing"))?.data());
            }
        }
        let scale = f64::from(factor).recip();
        let pixels = Pixels::Packed(shrinker.finish(), plan.area.scaled(scale, scale));
        Ok(Picture { pixels, profile })
    }
}
