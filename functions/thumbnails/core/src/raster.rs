//! Pixels in memory, and resizing them.

use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3, U8x4},
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
        // Rounding may lead a hair over the edge, which the resizer refuses.
        let (left, top) = (area.left.max(0.0), area.top.max(0.0));
        let (wide, high) = (f64::from(self.width) - left, f64::from(self.height) - top);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .use_alpha(self.layout == Layout::Rgba)
            .crop(left, top, area.width.min(wide), area.height.min(high));
        let mut pixels = vec![0; width as usize * height as usize * self.layout.bytes()];
        // Typed: the resizer that finds out by itself would bring code for thirteen kinds of pixels.
        match self.layout {
            Layout::Gray => self.resize::<U8>(&mut pixels, (width, height), &options),
            Layout::Rgb => self.resize::<U8x3>(&mut pixels, (width, height), &options),
            Layout::Rgba | Layout::Cmyk => self.resize::<U8x4>(&mut pixels, (width, height), &options),
        }?;
        Ok(Self { width, height, layout: self.layout, pixels })
    }

    fn resize<P: PixelTrait>(
        &self,
        pixels: &mut [u8],
        (width, height): (u32, u32),
        options: &ResizeOptions,
    ) -> Result<(), Error> {
        let source =
            TypedImageRef::<P>::from_buffer(self.width, self.height, &self.pixels).map_err(Error::malformed)?;
        let mut target = TypedImage::<P>::from_buffer(width, height, pixels).map_err(Error::malformed)?;
        Resizer::new().resize_typed(&source, &mut target, options).map_err(Error::malformed)
    }
}
