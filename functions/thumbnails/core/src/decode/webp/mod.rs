//! WebP, by a decoder in safe Rust.

mod chunks;
mod lossless;

use chunks::Canvas;
use image_webp::{LoopCount, WebPDecoder};

use super::{Animation, Frame, Header, Picture, Pixels, failed};
use crate::{
    Cancel, Error,
    cancel::Source,
    geometry::Plan,
    limits,
    orientation::Orientation,
    raster::{Layout, Raster},
};

pub(crate) struct Decoder<'a> {
    file: WebPDecoder<Source<'a>>,
    header: Header,
    profile: Option<Vec<u8>>,
    cancel: &'a Cancel,
}

impl<'a> Decoder<'a> {
    pub(super) fn open(bytes: &'a [u8], cancel: &'a Cancel) -> Result<Self, Error> {
        let mut file = WebPDecoder::new(Source::new(bytes, cancel)).map_err(|error| failed(cancel, error))?;
        let (width, height) = file.dimensions();
        let frames = if file.is_animated() { file.num_frames() } else { 1 };
        limits::check(width, height, frames)?;
        let canvas = Canvas { size: (width, height), alpha: file.has_alpha(), animated: file.is_animated() };
        limits::check_memory(chunks::memory(bytes, &canvas, cancel)?)?;
        // The limit holds for what is read next: first the metadata, later the pixels.
        file.set_memory_limit(limits::PROFILE_BYTES);
        let profile = file.icc_profile().map_err(|error| match error {
            image_webp::DecodingError::MemoryLimitExceeded => Error::TooLarge("its colour profile has more than 1 MB"),
            error => failed(cancel, error),
        })?;
        let exif = file.exif_metadata().ok().flatten();
        let orientation = exif.as_deref().map(Orientation::of_exif_block).unwrap_or_default();
        file.set_memory_limit(limits::DECODER_BYTES);
        Ok(Self { file, header: Header { width, height, orientation, frames }, profile, cancel })
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    pub(super) fn picture(mut self, plan: &Plan) -> Result<Picture, Error> {
        let mut raster = self.blank()?;
        self.file.read_image(&mut raster.pixels).map_err(|error| failed(self.cancel, error))?;
        self.cancel.check()?;
        Ok(Picture { pixels: Pixels::Packed(raster, plan.area), profile: self.profile })
    }

    pub(super) fn animation(mut self) -> Result<Animation<'a>, Error> {
        let loops = match self.file.loop_count() {
            LoopCount::Forever => 0,
            LoopCount::Times(times) => times.get(),
        };
        // Every viewer clears to nothing; the decoder would clear not at all.
        self.file.set_background_color([0; 4]).map_err(|error| failed(self.cancel, error))?;
        let raster = self.blank()?;
        let (file, header, cancel) = (self.file, self.header, self.cancel);
        Ok(Animation {
            frames: Box::new(Frames { file, left: header.frames, raster, cancel }),
            profile: self.profile,
            loops,
        })
    }

    fn blank(&self) -> Result<Raster, Error> {
        let size = self.file.output_buffer_size().ok_or_else(|| Error::malformed("too many bytes"))?;
        let layout = if self.file.has_alpha() { Layout::Rgba } else { Layout::Rgb };
        Ok(Raster { width: self.header.width, height: self.header.height, layout, pixels: vec![0; size] })
    }
}

struct Frames<'a> {
    file: WebPDecoder<Source<'a>>,
    left: u32,
    raster: Raster,
    cancel: &'a Cancel,
}

impl super::Frames for Frames<'_> {
    fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let millis = self.file.read_frame(&mut self.raster.pixels).map_err(|error| failed(self.cancel, error))?;
        Ok(Some(Frame { raster: &mut self.raster, millis }))
    }
}
