//! Pixels in memory, and resizing them.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::{Error, geometry::Area};

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

    const fn pixel_type(self) -> PixelType {
        match self {
            Self::Gray => PixelType::U8,
            Self::Rgb => PixelType::U8x3,
            Self::Rgba | Self::Cmyk => PixelType::U8x4,
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

impl Raster {
    /// A part of it, resized by a Lanczos filter. Colours are weighed by their alpha.
    pub(crate) fn resized(&self, area: Area, (width, height): (u32, u32)) -> Result<Self, Error> {
        let pixel_type = self.layout.pixel_type();
        let source = ImageRef::new(self.width, self.height, &self.pixels, pixel_type).map_err(Error::malformed)?;
        // Rounding may lead a hair over the edge, which the resizer refuses.
        let (left, top) = (area.left.max(0.0), area.top.max(0.0));
        let (wide, high) = (f64::from(self.width) - left, f64::from(self.height) - top);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .use_alpha(self.layout == Layout::Rgba)
            .crop(left, top, area.width.min(wide), area.height.min(high));
        let mut target = Image::new(width, height, pixel_type);
        Resizer::new().resize(&source, &mut target, &options).map_err(Error::malformed)?;
        Ok(Self { width, height, layout: self.layout, pixels: target.into_vec() })
    }
}
