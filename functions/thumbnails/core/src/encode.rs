//! Thumbnail pixels -> bytes.

use std::io;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use thumbnails_webp::{Image, Settings};

use crate::{
    Cancel, Error, Format, color,
    planes::limited_luma,
    raster::{Layout, Raster},
};

/// libwebp's middle way between fast and small.
const METHOD: u8 = 4;

/// Pixels from which on a thumbnail is a large one.
const LARGE: u32 = 1 << 18;

/// A small thumbnail has blocks of four kinds. On a large one it takes a twelfth of the time to tell them apart, and
/// brings nothing: one kind, at a quality a little lower, looks as good in as many bytes. docs/thumbnails.md has figures.
pub(crate) fn settings(quality: u8, (width, height): (u32, u32)) -> Settings {
    let quality = f32::from(quality);
    if width * height < LARGE {
        Settings { quality, method: METHOD, segments: 4, noise_shaping: 50 }
    } else {
        Settings { quality: quality - (100.0 - quality) / 10.0, method: METHOD, segments: 1, noise_shaping: 30 }
    }
}

/// Encodes `Gray`, `Rgb` or `Rgba`.
pub(crate) fn encode(raster: Raster, format: Format, quality: u8, cancel: &Cancel) -> Result<Vec<u8>, Error> {
    match format {
        Format::WebP => webp(&raster, quality, cancel),
        Format::Jpeg => jpeg(raster, quality, cancel),
    }
}

/// For the frames of an animation: they are pictures beside each other, and nobody looks at one of them for long. A few
/// steps of quality less are a tenth of the bytes.
pub(crate) fn of_frames(quality: u8, size: (u32, u32)) -> Settings {
    let settings = settings(quality, size);
    Settings { quality: settings.quality - 3.0, ..settings }
}

/// Encodes planes as WebP has them. They come straight from the source, and lose nothing on a way through RGB: half
/// a step of quality less gives what others have at this number, in no more bytes.
pub(crate) fn planes(
    [y, u, v]: &[Vec<u8>; 3],
    size: (u32, u32),
    quality: u8,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let image = Image::Yuv420 { y, u, v };
    let settings = settings(quality, size);
    let settings = Settings { quality: settings.quality - 0.5, ..settings };
    Ok(thumbnails_webp::encode(image, size.0, size.1, settings, &|| cancel.is_set())?)
}

fn webp(raster: &Raster, quality: u8, cancel: &Cancel) -> Result<Vec<u8>, Error> {
    let Raster { width, height, .. } = *raster;
    let (luma, chroma);
    let image = match raster.layout {
        Layout::Gray => {
            luma = raster.pixels.iter().map(|gray| limited_luma(*gray)).collect::<Vec<_>>();
            chroma = vec![128; (width as usize).div_ceil(2) * (height as usize).div_ceil(2)];
            Image::Yuv420 { y: &luma, u: &chroma, v: &chroma }
        }
        Layout::Rgb => Image::Rgb(&raster.pixels),
        Layout::Rgba => Image::Rgba(&raster.pixels),
        Layout::Cmyk => return Err(Error::encoder("inks are not colours")),
    };
    Ok(thumbnails_webp::encode(image, width, height, settings(quality, (width, height)), &|| cancel.is_set())?)
}

fn jpeg(raster: Raster, quality: u8, cancel: &Cancel) -> Result<Vec<u8>, Error> {
    let raster = color::over_white(raster);
    let side = |side: u32| u16::try_from(side).map_err(Error::encoder);
    let (width, height) = (side(raster.width)?, side(raster.height)?);
    let colors = if raster.layout == Layout::Gray { ColorType::Luma } else { ColorType::Rgb };
    let mut output = Output { bytes: Vec::new(), cancel };
    let mut encoder = Encoder::new(&mut output, quality);
    encoder.set_progressive(true);
    encoder.set_optimized_huffman_tables(true);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    let done = encoder.encode(&raster.pixels, width, height, colors);
    cancel.check()?;
    done.map_err(Error::encoder)?;
    Ok(output.bytes)
}

/// What comes of a JPEG. The encoder cannot be told to stop, but it does when nobody takes its bytes.
struct Output<'a> {
    bytes: Vec<u8>,
    cancel: &'a Cancel,
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The clock is asked once for so many bytes, which come one by one.
        const PORTION: usize = 4096;
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if before / PORTION < self.bytes.len() / PORTION && self.cancel.is_set() {
            return Err(io::Error::other("cancelled"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_is_given_up_while_it_is_written() {
        let cancel = Cancel::never();
        let mut output = Output { bytes: Vec::new(), cancel: &cancel };
        let mut write = |count: usize| io::Write::write(&mut output, &vec![0; count]).map_err(|_| ());
        assert_eq!(write(4000), Ok(4000));
        cancel.cancel();
        assert_eq!((write(95), write(1)), (Ok(95), Err(())), "it looks at the clock after 4096 bytes");
        let raster = Raster { width: 64, height: 64, layout: Layout::Gray, pixels: vec![9; 64 * 64] };
        assert_eq!(jpeg(raster, 80, &cancel), Err(Error::Cancelled));
    }
}
