//! The components of a JPEG, each at its own size, until they have the size of the thumbnail.

use crate::{
    Cancel, Error,
    geometry::Area,
    raster::{Layout, Raster},
};

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colors {
    Gray,
    /// Full range.
    YCbCr,
    Rgb,
    /// Four inks; `inverted` says that 0 is full.
    Cmyk {
        inverted: bool,
    },
    /// The first three inks as Y, Cb and Cr.
    Ycck {
        inverted: bool,
    },
}

/// One component: a grey picture, and the part of it that is seen.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) raster: Raster,
    pub(crate) area: Area,
}

/// All components.
#[derive(Debug)]
pub(crate) struct Planes {
    pub(crate) parts: Vec<Part>,
    pub(crate) colors: Colors,
}

impl Planes {
    /// The component at this place, resized.
    fn part(&mut self, at: usize, size: (u32, u32), cancel: &Cancel) -> Result<Vec<u8>, Error> {
        let part = self.parts.get_mut(at).ok_or_else(|| Error::malformed("a component is missing"))?;
        Ok(part.raster.resized(part.area, size, cancel)?.pixels)
    }

    /// One picture of `Gray`, `Rgb` or `Cmyk`.
    pub(crate) fn resized(mut self, size: (u32, u32), cancel: &Cancel) -> Result<Raster, Error> {
        let (width, height) = size;
        let (layout, pixels) = match self.colors {
            Colors::Gray => (Layout::Gray, self.part(0, size, cancel)?),
            Colors::Rgb => (Layout::Rgb, self.three(size, cancel, |pixel| pixel)?),
            Colors::YCbCr => (Layout::Rgb, self.three(size, cancel, rgb)?),
            Colors::Cmyk { inverted } => (Layout::Cmyk, self.four(size, cancel, inverted, |pixel| pixel)?),
            Colors::Ycck { inverted } => {
                // By convention the conversion to RGB is followed by one to its complement, whatever is inverted then.
                let complement = |pixel| rgb(pixel).map(|value| 255 - value);
                (Layout::Cmyk, self.four(size, cancel, inverted, complement)?)
            }
        };
        Ok(Raster { width, height, layout, pixels })
    }

    fn three(
        &mut self,
        size: (u32, u32),
        cancel: &Cancel,
        convert: impl Fn([u8; 3]) -> [u8; 3],
    ) -> Result<Vec<u8>, Error> {
        let [a, b, c] = [self.part(0, size, cancel)?, self.part(1, size, cancel)?, self.part(2, size, cancel)?];
        Ok(a.iter().zip(&b).zip(&c).flat_map(|((a, b), c)| convert([*a, *b, *c])).collect())
    }

    /// Four inks, of which 255 is full.
    fn four(
        &mut self,
        size: (u32, u32),
        cancel: &Cancel,
        inverted: bool,
        convert: impl Fn([u8; 3]) -> [u8; 3],
    ) -> Result<Vec<u8>, Error> {
        let colors = self.three(size, cancel, convert)?;
        let black = self.part(3, size, cancel)?;
        let ink = |sample: u8| if inverted { 255 - sample } else { sample };
        let pixels = colors.as_chunks().0.iter().zip(&black);
        Ok(pixels.flat_map(|([c, m, y], k)| [ink(*c), ink(*m), ink(*y), ink(*k)]).collect())
    }

    /// Y, U and V as WebP has them: limited range, and colours at half the size. Never was there an RGB pixel.
    pub(crate) fn resized_for_webp(
        mut self,
        (width, height): (u32, u32),
        cancel: &Cancel,
    ) -> Result<[Vec<u8>; 3], Error> {
        let half = (width.div_ceil(2), height.div_ceil(2));
        let luma = self.part(0, (width, height), cancel)?.into_iter().map(limited_luma).collect();
        let mut chroma = |at| -> Result<Vec<u8>, Error> {
            match self.colors {
                Colors::Gray => Ok(vec![128; half.0 as usize * half.1 as usize]),
                _ => Ok(self.part(at, half, cancel)?.into_iter().map(limited_chroma).collect()),
            }
        };
        Ok([luma, chroma(1)?, chroma(2)?])
    }

    /// Whether [`resized_for_webp`](Self::resized_for_webp) is what these components can become.
    pub(crate) fn fit_webp(&self) -> bool {
        matches!(self.colors, Colors::Gray | Colors::YCbCr)
    }
}

/// JPEG has luma from 0 to 255, WebP from 16 to 235.
#[allow(clippy::cast_possible_truncation)] // at most 235
pub(crate) fn limited_luma(full: u8) -> u8 {
    ((u32::from(full) * 219 + 127) / 255 + 16) as u8
}

/// JPEG has colour differences from 0 to 255, WebP from 16 to 240, both around 128.
#[allow(clippy::cast_possible_truncation)] // at most 240
fn limited_chroma(full: u8) -> u8 {
    ((u32::from(full) * 224 + 128 * 31 + 127) / 255) as u8
}

/// The conversion of JFIF, in fractions of 65536.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = ((i32::from(y) << 16) + (1 << 15), i32::from(cb) - 128, i32::from(cr) - 128);
    let whole = |value: i32| (value >> 16).clamp(0, 255) as u8;
    [whole(y + 91_881 * cr), whole(y - 22_554 * cb - 46_802 * cr), whole(y + 116_130 * cb)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_at_their_ends() {
        assert_eq!([0, 128, 255].map(limited_luma), [16, 126, 235]);
        assert_eq!([0, 128, 255].map(limited_chroma), [16, 128, 240]);
    }

    #[test]
    fn colours_are_those_of_jfif() {
        assert_eq!(rgb([255, 128, 128]), [255, 255, 255]);
        assert_eq!(rgb([76, 85, 255]), [254, 0, 0]);
        assert_eq!(rgb([29, 255, 107]), [0, 0, 254]);
    }
}
