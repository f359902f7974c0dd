//! The one way from a file to a thumbnail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    Cancel, Error, Fit, Format, Size, Transform,
    animate::animate,
    color::{self, Conversion},
    decode::{Decoder, Picture, Pixels},
    encode,
    geometry::Plan,
    limits,
    raster::{Layout, Raster},
};

/// A thumbnail.
#[derive(Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its format.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Without the bytes.
impl std::fmt::Debug for Thumbnail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, format, width, height } = self;
        write!(f, "Thumbnail({format:?}, {width}x{height}, {} bytes)", bytes.len())
    }
}

/// Makes a thumbnail of a file. Metadata is left behind; colours come out in sRGB, and the picture upright.
///
/// # Errors
/// See [`Error`].
pub fn render(bytes: &[u8], transform: &Transform, cancel: &Cancel) -> Result<Thumbnail, Error> {
    contained(|| make(bytes, transform, cancel))
}

fn make(bytes: &[u8], transform: &Transform, cancel: &Cancel) -> Result<Thumbnail, Error> {
    let decoder = Decoder::open(bytes, cancel)?;
    let header = decoder.header();
    let plan = Plan::new(transform, header.width, header.height, header.orientation);
    cancel.check()?;
    let bytes = if header.frames > 1 && transform.format == Format::WebP {
        animate(decoder.animation()?, transform, &plan, cancel)?
    } else {
        encode_still(decoder.picture(&plan)?, transform, &plan, cancel)?
    };
    if bytes.len() > limits::OUTPUT_BYTES {
        return Err(Error::TooLarge("the thumbnail has more than 4.5 MB"));
    }
    let (width, height) = plan.canvas;
    Ok(Thumbnail { bytes, format: transform.format, width, height })
}

/// A `ThumbHash` of a file: some 25 bytes that stand for it until it is there.
///
/// # Errors
/// See [`Error`].
pub fn placeholder(bytes: &[u8], cancel: &Cancel) -> Result<Vec<u8>, Error> {
    contained(|| hash(bytes, cancel))
}

fn hash(bytes: &[u8], cancel: &Cancel) -> Result<Vec<u8>, Error> {
    let size = Size { width: Some(100), height: Some(100) };
    let transform = Transform { size, fit: Fit::Inside, format: Format::WebP, quality: 80 };
    let decoder = Decoder::open(bytes, cancel)?;
    let header = decoder.header();
    let plan = Plan::new(&transform, header.width, header.height, header.orientation);
    let raster = color::to_rgba(still(decoder, &plan, cancel)?);
    Ok(thumbhash::rgba_to_thumb_hash(raster.width as usize, raster.height as usize, &raster.pixels))
}

/// Decoders are written with care and still have bugs: one that panics has met a broken picture, and takes nothing down
/// with it. What it held is dropped, so nothing is seen half done. The panic hook has told where it was.
fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Err(Error::Malformed(format!("a decoder panicked: {}", text.unwrap_or("without a text"))))
    })
}

fn encode_still(picture: Picture, transform: &Transform, plan: &Plan, cancel: &Cancel) -> Result<Vec<u8>, Error> {
    cancel.check()?;
    let Transform { format, quality, .. } = *transform;
    let conversion = Conversion::by(picture.profile.as_deref());
    let upright = plan.orientation.turned(plan.resized);
    match picture.pixels {
        // The short way: what a photo is stored as is what WebP wants.
        Pixels::Planes(planes)
            if planes.fit_webp() && format == Format::WebP && conversion.is_none() && upright == plan.canvas =>
        {
            let (width, height) = plan.resized;
            let half = (width.div_ceil(2), height.div_ceil(2));
            let [y, u, v] = planes.resized_for_webp(plan.resized, cancel)?;
            let turned = |plane, (width, height)| plan.orientation.apply(plane, width, height, 1);
            let turned = [turned(y, plan.resized), turned(u, half), turned(v, half)];
            encode::planes(&turned, plan.canvas, quality, cancel)
        }
        pixels => {
            let resized = pixels.resized(plan.resized, cancel)?;
            encode::encode(finish(resized, &conversion, plan), format, quality, cancel)
        }
    }
}

fn still(decoder: Decoder<'_>, plan: &Plan, cancel: &Cancel) -> Result<Raster, Error> {
    let picture = decoder.picture(plan)?;
    cancel.check()?;
    let resized = picture.pixels.resized(plan.resized, cancel)?;
    Ok(finish(resized, &Conversion::by(picture.profile.as_deref()), plan))
}

/// What happens to every picture once it is small: colours, turning, padding.
pub(crate) fn finish(resized: Raster, conversion: &Conversion, plan: &Plan) -> Raster {
    let Raster { width, height, layout, pixels } = conversion.apply(resized);
    let pixels = plan.orientation.apply(pixels, width, height, layout.bytes());
    let (width, height) = plan.orientation.turned((width, height));
    padded(Raster { width, height, layout, pixels }, plan.canvas)
}

/// Puts a picture into the middle of a transparent canvas.
fn padded(raster: Raster, (width, height): (u32, u32)) -> Raster {
    if (raster.width, raster.height) == (width, height) {
        return raster;
    }
    let raster = color::to_rgba(raster);
    let row = raster.width as usize * 4;
    let left = (width - raster.width) as usize / 2 * 4;
    let top = (height - raster.height) as usize / 2;
    let mut pixels = vec![0; width as usize * height as usize * 4];
    let rows = pixels.chunks_exact_mut(width as usize * 4).skip(top);
    for (target, source) in rows.zip(raster.pixels.chunks_exact(row)) {
        target[left..left + row].copy_from_slice(source);
    }
    Raster { width, height, layout: Layout::Rgba, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_broken_picture() {
        let row: Vec<u8> = Vec::new();
        let index = row.len();
        let outcome = contained(|| Ok(row[index]));
        let Err(Error::Malformed(why)) = outcome else { panic!("{outcome:?}") };
        assert!(why.contains("index out of bounds"), "{why}");
        assert_eq!(contained(|| Ok(7)), Ok(7));
    }
}
