//! GIF.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DisposalMethod, MemoryLimit, Repeat};

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
    bytes: &'a [u8],
    header: Header,
    cancel: &'a Cancel,
}

impl<'a> Decoder<'a> {
    pub(super) fn open(bytes: &'a [u8], cancel: &'a Cancel) -> Result<Self, Error> {
        let mut options = DecodeOptions::new();
        options.skip_frame_decoding(true);
        let read = options.read_info(Source::new(bytes, cancel));
        let mut reader = read.map_err(|error| failed(cancel, error))?;
        let (width, height) = (u32::from(reader.width()), u32::from(reader.height()));
        limits::check(width, height, 1)?;
        // The header does not say how many frames there are; walking over them costs no memory.
        let mut frames = 0;
        while let Some(frame) = reader.next_frame_info().map_err(|error| failed(cancel, error))? {
            limits::check(u32::from(frame.width).max(1), u32::from(frame.height).max(1), 1)?;
            frames += 1;
            limits::check(width, height, frames)?;
        }
        cancel.check()?;
        if frames == 0 {
            return Err(Error::malformed("no frame"));
        }
        Ok(Self { bytes, header: Header { width, height, orientation: Orientation::default(), frames }, cancel })
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    pub(super) fn picture(self, plan: &Plan) -> Result<Picture, Error> {
        let mut animation = self.animation()?;
        let first = animation.frames.next().ok_or_else(|| Error::malformed("no frame"))??;
        Ok(Picture { pixels: Pixels::Packed(first.raster, plan.area), profile: None })
    }

    pub(super) fn animation(self) -> Result<Animation<'a>, Error> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        if let Some(bytes) = NonZeroU64::new(limits::DECODER_BYTES as u64) {
            options.set_memory_limit(MemoryLimit::Bytes(bytes));
        }
        let cancel = self.cancel;
        let read = options.read_info(Source::new(self.bytes, cancel));
        let mut reader = read.map_err(|error| failed(cancel, error))?;
        // A loop count is of repetitions here, of runs in WebP.
        let loops = match reader.repeat() {
            Repeat::Infinite => 0,
            Repeat::Finite(times) => times.saturating_add(1),
        };
        let mut canvas = Canvas::new(self.header);
        let frames = std::iter::from_fn(move || {
            let next = reader.read_next_frame().map_err(|error| failed(cancel, error)).transpose()?;
            Some(next.and_then(|frame| {
                cancel.check()?;
                Ok(canvas.draw(frame))
            }))
        });
        Ok(Animation { frames: Box::new(frames), profile: None, loops })
    }
}

/// The picture that the frames are drawn on, one over the other.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(header: Header) -> Self {
        let (width, height) = (header.width as usize, header.height as usize);
        // Transparent, as every viewer has it; nobody uses the background colour of the file.
        Self { width, height, pixels: vec![0; width * height * 4] }
    }

    fn draw(&mut self, frame: &gif::Frame<'_>) -> Frame {
        let before = (frame.dispose == DisposalMethod::Previous).then(|| self.pixels.clone());
        for (row, target) in frame.buffer.chunks_exact(usize::from(frame.width).max(1) * 4).zip(0..) {
            if let Some(span) = self.span(frame, target) {
                for (new, old) in row.as_chunks::<4>().0.iter().zip(span.as_chunks_mut::<4>().0) {
                    if new[3] != 0 {
                        *old = *new;
                    }
                }
            }
        }
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let (width, height) = (side(self.width), side(self.height));
        let shown = Raster { width, height, layout: Layout::Rgba, pixels: self.pixels.clone() };
        match (frame.dispose, before) {
            (DisposalMethod::Previous, Some(before)) => self.pixels = before,
            (DisposalMethod::Background, _) => {
                for row in 0..usize::from(frame.height) {
                    if let Some(span) = self.span(frame, row) {
                        span.fill(0);
                    }
                }
            }
            _ => {}
        }
        // Hundredths of a second. Browsers take 0 and 1 for a tenth.
        let millis = if frame.delay <= 1 { 100 } else { u32::from(frame.delay) * 10 };
        Frame { raster: shown, millis }
    }

    /// The pixels that a row of a frame covers. A frame may lie outside of the canvas.
    fn span(&mut self, frame: &gif::Frame<'_>, row: usize) -> Option<&mut [u8]> {
        let (y, left) = (usize::from(frame.top) + row, usize::from(frame.left));
        let right = (left + usize::from(frame.width)).min(self.width);
        let inside = y < self.height && left < right;
        inside.then(|| &mut self.pixels[(y * self.width + left) * 4..(y * self.width + right) * 4])
    }
}
