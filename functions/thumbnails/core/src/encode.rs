//! Thumbnail pixels -> bytes.

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

/// A small thumbnail has blocks of four kinds. On a large one it takes a sixteenth of the time to tell them apart, and
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
        Format::Jpeg => jpeg(raster, quality),
    }
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

fn jpeg(raster: Raster, quality: u8) -> Result<Vec<u8>, Error> {
    let raster = color::over_white(raster);
    let side = |side: u32| u16::try_from(side).map_err(Error::encoder);
    let (width, height) = (side(raster.width)?, side(raster.height)?);
    let colors = if raster.layout == Layout::Gray { ColorType::Luma } else { ColorType::Rgb };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_progressive(true);
    encoder.set_optimized_huffman_tables(true);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    encoder.encode(&raster.pixels, width, height, colors).map_err(Error::encoder)?;
    Ok(bytes)
}
