//! Pixels in memory, and resizing them.

use crate::{
    Cancel, Error,
    geometry::Area,
    resize::{Axis, resize},
};

/// What the bytes of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Gray,
    Rgb,
    /// Alpha not premultiplied.
    Rgba,
    /// Ink: 255 is full.
    Cmyk,
}

impl Layout {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }
}

/// Pixels, row by row without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raster {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) layout: Layout,
    pub(crate) pixels: Vec<u8>,
}

/// Colours times their alpha: what is not seen must not shine through at the edges.
fn weigh(pixels: &mut [u8]) {
    for [colors @ .., alpha] in pixels.as_chunks_mut::<4>().0 {
        for color in colors {
            let product = u32::from(*color) * u32::from(*alpha);
            *color = u8::try_from((product + 127) / 255).unwrap_or(u8::MAX);
        }
    }
}

/// The way back.
fn unweigh(pixels: &mut [u8]) {
    for [colors @ .., alpha] in pixels.as_chunks_mut::<4>().0 {
        let alpha = u32::from(*alpha);
        for color in colors {
            let whole = (u32::from(*color) * 255 + alpha / 2) / alpha.max(1);
            *color = u8::try_from(whole).unwrap_or(u8::MAX);
        }
    }
}

impl Raster {
    /// A part of it, resized. Colours are weighed by their alpha, and that in place: a copy would be as large as the
    /// picture. So this is its last use.
    pub(crate) fn resized(&mut self, area: Area, (width, height): (u32, u32), cancel: &Cancel) -> Result<Self, Error> {
        let size = (self.width, self.height);
        let pixels = if size == (width, height) && area.is_whole(size) {
            self.pixels.clone()
        } else {
            let columns = Axis::new(self.width, area.left, area.width, width);
            let rows = Axis::new(self.height, area.top, area.height, height);
            match self.layout {
                Layout::Gray => resize::<1>(&self.pixels, self.width, &columns, &rows, cancel)?,
                Layout::Rgb => resize::<3>(&self.pixels, self.width, &columns, &rows, cancel)?,
                Layout::Cmyk => resize::<4>(&self.pixels, self.width, &columns, &rows, cancel)?,
                Layout::Rgba => {
                    weigh(&mut self.pixels);
                    let mut pixels = resize::<4>(&self.pixels, self.width, &columns, &rows, cancel)?;
                    unweigh(&mut pixels);
                    pixels
                }
            }
        };
        Ok(Self { width, height, layout: self.layout, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_transparent_does_not_shine_through() {
        // White on the left, and what is not seen is black.
        let row = [[[255; 4]; 30], [[0; 4]; 30]].concat().concat();
        let mut raster = Raster { width: 60, height: 40, layout: Layout::Rgba, pixels: row.repeat(40) };
        let area = Area { left: 0.0, top: 0.0, width: 60.0, height: 40.0 };
        let resized = raster.resized(area, (17, 11), &Cancel::never()).expect("nobody stops it");
        let edge = resized.pixels.as_chunks().0.iter().filter(|[.., alpha]: &&[u8; 4]| (16..240).contains(alpha));
        assert!(edge.clone().count() >= 11, "there is an edge");
        assert!(
            edge.clone().flat_map(|pixel| &pixel[..3]).all(|color| *color >= 250),
            "{:?}",
            edge.collect::<Vec<_>>()
        );
    }
}
