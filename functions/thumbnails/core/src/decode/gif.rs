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
        let (mut frames, mut pixels) = (0, 0);
        while let Some(frame) = reader.next_frame_info().map_err(|error| failed(cancel, error))? {
            let (frame_width, frame_height) = (u32::from(frame.width).max(1), u32::from(frame.height).max(1));
            limits::check(frame_width, frame_height, 1)?;
            frames += 1;
            // A frame may be larger than the canvas, and is unpacked all the same.
            let canvas = u64::from(width) * u64::from(height);
            pixels += canvas.max(u64::from(frame_width) * u64::from(frame_height));
            limits::check_animation(frames, pixels)?;
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
        let mut frames = self.frames(1)?;
        frames.draw()?.ok_or_else(|| Error::malformed("no frame"))?;
        Ok(Picture { pixels: Pixels::Packed(frames.canvas, plan.area), profile: None })
    }

    pub(super) fn animation(self) -> Result<Animation<'a>, Error> {
        let frames = self.frames(self.header.frames)?;
        // A loop count is of repetitions here, of runs in WebP.
        let loops = match frames.reader.repeat() {
            Repeat::Infinite => 0,
            Repeat::Finite(times) => times.saturating_add(1),
        };
        Ok(Animation { frames: Box::new(frames), profile: None, loops })
    }

    /// The first so many frames.
    fn frames(&self, count: u32) -> Result<Frames<'a>, Error> {
        let mut options = DecodeOptions::new();
        // A byte a pixel; colours are looked up while a frame is drawn.
        options.set_color_output(ColorOutput::Indexed);
        if let Some(bytes) = NonZeroU64::new(limits::DECODER_BYTES as u64) {
            options.set_memory_limit(MemoryLimit::Bytes(bytes));
        }
        let cancel = self.cancel;
        let read = options.read_info(Source::new(self.bytes, cancel));
        let reader = read.map_err(|error| failed(cancel, error))?;
        let Header { width, height, .. } = self.header;
        // Transparent, as every viewer has it; nobody uses the background colour of the file.
        let pixels = vec![0; width as usize * height as usize * 4];
        let canvas = Raster { width, height, layout: Layout::Rgba, pixels };
        let palette = reader.global_palette().unwrap_or_default().to_vec();
        Ok(Frames { reader, palette, left: count, canvas, disposal: Disposal::Keep, cancel })
    }
}

/// Frames are drawn on one canvas, one over the other. A colour there is opaque, or black and transparent; so it
/// is of no consequence that [`Raster::resized`] weighs it by its alpha.
struct Frames<'a> {
    reader: gif::Decoder<Source<'a>>,
    /// For frames that have no palette of their own.
    palette: Vec<u8>,
    /// Frames that are still to come.
    left: u32,
    canvas: Raster,
    disposal: Disposal,
    cancel: &'a Cancel,
}

/// What is done to the last frame before the next one is drawn.
enum Disposal {
    Keep,
    Clear(Place),
    /// With what was there before, row by row.
    Restore(Place, Vec<u8>),
}

/// Where a frame is. It may lie outside of the canvas.
#[derive(Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl super::Frames for Frames<'_> {
    fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        Ok(self.draw()?.map(|millis| Frame { raster: &mut self.canvas, millis }))
    }
}

impl Frames<'_> {
    /// Draws the next frame, and tells how many milliseconds it is shown.
    fn draw(&mut self) -> Result<Option<u32>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.dispose();
        let next = self.reader.read_next_frame().map_err(|error| failed(self.cancel, error))?;
        let Some(frame) = next else { return Ok(None) };
        self.cancel.check()?;
        let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
        let place = Place { left, top, width, height };
        // Nobody looks for what was under the last one.
        self.disposal = match frame.dispose {
            DisposalMethod::Previous if self.left > 0 => Disposal::Restore(place, place.covered(&mut self.canvas)),
            DisposalMethod::Background => Disposal::Clear(place),
            _ => Disposal::Keep,
        };
        let colors = colors(frame.palette.as_ref().unwrap_or(&self.palette), frame.transparent);
        for (row, target) in frame.buffer.chunks_exact(width.max(1)).zip(0..) {
            for (new, old) in row.iter().zip(place.span(&mut self.canvas, target).as_chunks_mut::<4>().0) {
                if let Some(color) = colors[usize::from(*new)] {
                    *old = color;
                }
            }
        }
        // Hundredths of a second. Browsers take 0 and 1 for a tenth.
        Ok(Some(if frame.delay <= 1 { 100 } else { u32::from(frame.delay) * 10 }))
    }

    fn dispose(&mut self) {
        match std::mem::replace(&mut self.disposal, Disposal::Keep) {
            Disposal::Keep => {}
            Disposal::Clear(place) => (0..place.height).for_each(|row| place.span(&mut self.canvas, row).fill(0)),
            Disposal::Restore(place, pixels) => {
                let mut rest = &pixels[..];
                for row in 0..place.height {
                    let span = place.span(&mut self.canvas, row);
                    let (before, more) = rest.split_at(span.len());
                    span.copy_from_slice(before);
                    rest = more;
                }
            }
        }
    }
}

impl Place {
    /// The pixels of the canvas that are there, row by row.
    fn covered(self, canvas: &mut Raster) -> Vec<u8> {
        let mut pixels = Vec::new();
        (0..self.height).for_each(|row| pixels.extend_from_slice(self.span(canvas, row)));
        pixels
    }

    /// The pixels of the canvas that a row of the frame covers.
    fn span(self, canvas: &mut Raster, row: usize) -> &mut [u8] {
        let width = canvas.width as usize;
        let (left, right) = (self.left.min(width), (self.left + self.width).min(width));
        let start = (self.top + row) * width;
        canvas.pixels.get_mut((start + left) * 4..(start + right) * 4).unwrap_or_default()
    }
}

/// The pixel of each index: nothing for one that is transparent, or that has no colour.
fn colors(palette: &[u8], transparent: Option<u8>) -> [Option<[u8; 4]>; 256] {
    let mut colors = [None; 256];
    for (color, [r, g, b]) in colors.iter_mut().zip(palette.as_chunks().0) {
        *color = Some([*r, *g, *b, 255]);
    }
    if let Some(index) = transparent {
        colors[usize::from(index)] = None;
    }
    colors
}
