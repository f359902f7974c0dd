//! PNG. Of an animated one the still picture.

use std::ops::Range;

use fdeflate::BoundedDecompressionError;
use png::{ColorType, Limits, Reader, Transformations};

use super::{Header, Picture, Pixels, failed};
use crate::{
    Cancel, Error,
    cancel::Source,
    geometry::{Area, Plan},
    limits,
    orientation::Orientation,
    raster::{Layout, Raster},
    shrink::Shrinker,
};

pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    reader: Reader<Source<'a>>,
    header: Header,
    cancel: &'a Cancel,
}

impl<'a> Decoder<'a> {
    pub(super) fn open(bytes: &'a [u8], cancel: &'a Cancel) -> Result<Self, Error> {
        let allowed = Limits { bytes: limits::DECODER_BYTES };
        let mut decoder = png::Decoder::new_with_limits(Source::new(bytes, cancel), allowed);
        decoder.set_ignore_text_chunk(true);
        // It would unpack one of any size: `profile` does it.
        decoder.set_ignore_iccp_chunk(true);
        // A wrong sum is no reason to show nothing, and a right one no reason to trust the file.
        decoder.ignore_checksums(true);
        // 8 bits a channel, and no palettes.
        decoder.set_transformations(Transformations::normalize_to_color8());
        let (width, height) = decoder.read_header_info().map_err(|error| failed(cancel, error))?.size();
        limits::check(width, height, 1)?;
        let reader = decoder.read_info().map_err(|error| failed(cancel, error))?;
        let exif = reader.info().exif_metadata.as_deref();
        let orientation = exif.map(Orientation::of_exif_block).unwrap_or_default();
        Ok(Self { bytes, reader, header: Header { width, height, orientation, frames: 1 }, cancel })
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rows of a picture within the limits
    pub(super) fn picture(mut self, plan: &Plan) -> Result<Picture, Error> {
        let profile = profile(self.bytes)?;
        let (stored, layout) = match self.reader.output_color_type().0 {
            ColorType::Grayscale => (1, Layout::Gray),
            ColorType::GrayscaleAlpha => (2, Layout::Rgba),
            ColorType::Rgba => (4, Layout::Rgba),
            ColorType::Rgb | ColorType::Indexed => (3, Layout::Rgb),
        };
        let factor = Shrinker::factor_for(plan.shrink());
        // Rows below the part that is seen need not be unpacked, nor anything around it added up.
        let Header { width, height, .. } = self.header;
        let columns = seen(plan.area.left, plan.area.width, plan.resized.0, factor, width);
        let rows = seen(plan.area.top, plan.area.height, plan.resized.1, factor, height);
        let (first, end) = (rows.start as usize, rows.end as usize);
        let mut shrinker = Shrinker::new(factor, columns.end - columns.start, layout);
        let bytes = columns.start as usize * stored..columns.end as usize * stored;
        let mut wide = Vec::new();
        let mut push = |row: &[u8]| {
            let row = row.get(bytes.clone()).unwrap_or_default();
            if stored == 2 {
                wide.clear();
                wide.extend(row.as_chunks().0.iter().flat_map(|[gray, alpha]| [*gray, *gray, *gray, *alpha]));
                shrinker.push(&wide);
            } else {
                shrinker.push(row);
            }
        };
        if self.reader.info().interlaced {
            let row = self.header.width as usize * stored;
            // Nothing to shrink, nothing to widen: these are the pixels.
            let finished = factor == 1 && stored == layout.bytes();
            let area = (columns.end - columns.start) as usize * (end - first);
            let shrunk = if finished { 0 } else { area * layout.bytes() / usize::from(factor).pow(2) };
            let size = self.reader.output_buffer_size().ok_or_else(|| Error::malformed("too many bytes"))?;
            limits::check_memory((size + shrunk) as u64)?;
            let mut whole = vec![0; size];
            self.reader.next_frame(&mut whole).map_err(|error| failed(self.cancel, error))?;
            if finished {
                whole.truncate(row * end);
                let raster = Raster { width: self.header.width, height: end as u32, layout, pixels: whole };
                return Ok(Picture { pixels: Pixels::Packed(raster, plan.area), profile });
            }
            whole.chunks_exact(row).take(end).skip(first).for_each(push);
        } else {
            for y in 0..end {
                let row = self.reader.next_row().map_err(|error| failed(self.cancel, error))?;
                let row = row.ok_or_else(|| failed(self.cancel, "rows are missing"))?;
                if y >= first {
                    push(row.data());
                }
            }
        }
        let scale = f64::from(factor).recip();
        let Area { left, top, .. } = plan.area;
        let area = Area { left: left - f64::from(columns.start), top: top - f64::from(rows.start), ..plan.area };
        let pixels = Pixels::Packed(shrinker.finish(), area.scaled(scale, scale));
        Ok(Picture { pixels, profile })
    }
}

/// Which pixels of one side count, of `all`: the part that is seen and what the filter reaches beyond it, by whole squares.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // sides of a picture within the limits
fn seen(start: f64, length: f64, resized: u32, factor: u16, all: u32) -> Range<u32> {
    let reach = 3.0 * (length / f64::from(resized)).max(1.0) + 1.0;
    let factor = u32::from(factor);
    let first = (start - reach).floor().max(0.0) as u32 / factor * factor;
    first..((start + length + reach).ceil() as u32).next_multiple_of(factor).min(all)
}

/// The colour profile, which is unpacked no further than a profile may be large. One that is broken is none.
fn profile(file: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let Some(chunk) = chunk_before_pixels(file, *b"iCCP") else { return Ok(None) };
    // A name, the end of the name, and 0 for the one way to pack it that there is.
    let name = chunk.iter().position(|byte| *byte == 0).filter(|length| (1..80).contains(length));
    let Some([0, packed @ ..]) = name.and_then(|end| chunk.get(end + 1..)) else { return Ok(None) };
    match fdeflate::decompress_to_vec_bounded(packed, limits::PROFILE_BYTES) {
        Ok(profile) => Ok(Some(profile)),
        Err(BoundedDecompressionError::OutputTooLarge { .. }) => {
            Err(Error::TooLarge("its colour profile has more than 1 MB"))
        }
        Err(BoundedDecompressionError::DecompressionError { .. }) => Ok(None),
    }
}

/// The first chunk of this name, of those that are before the pixels.
fn chunk_before_pixels(file: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    let mut rest = file.get(8..)?;
    while let Some(([l0, l1, l2, l3, name @ ..], after)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
        if *name == *b"IDAT" {
            return None;
        }
        let data = after.get(..length)?;
        if *name == wanted {
            return Some(data);
        }
        // Behind the data is a sum of it.
        rest = after.get(length + 4..)?;
    }
    None
}
