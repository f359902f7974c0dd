//! An animation: the container of WebP, with frames that show no more than what has changed.

use crate::{
    Error, Image, MAX_SIDE, Settings,
    picture::{chunk, encode, pictures},
};

/// Pixels on each side of the blocks that a frame may leave as they are.
const BLOCK: usize = 8;
/// The longest time that a frame can be shown, in milliseconds.
const MAX_MILLIS: u32 = 0xFF_FFFF;
/// Bytes of a frame's chunk in front of its time.
const BEFORE_TIME: usize = 8 + 12;
/// A frame's pixels take the place of those before, transparency included.
const REPLACE: u8 = 2;

/// Collects the frames of an animation. Each frame that is added is the whole picture; what is written of it is the
/// rectangle that differs from what is shown by then, and of that only the blocks that do. Frames stay until the next.
#[derive(Debug)]
pub struct Animation {
    width: usize,
    height: usize,
    loops: u16,
    settings: Settings,
    /// How far a colour may be off and still be left as it is.
    tolerance: u32,
    /// The pixels that were written last at each place: a viewer begins with nothing.
    shown: Vec<u8>,
    frames: Vec<u8>,
    /// Where the last frame begins, and how long it is shown.
    last: Option<(usize, u32)>,
    transparent: bool,
}

impl Animation {
    /// An animation that runs `loops` times; 0 stands for ever.
    ///
    /// # Errors
    /// When the size does not fit.
    pub fn new(width: u32, height: u32, loops: u16, settings: Settings) -> Result<Self, Error> {
        if ![width, height].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            return Err(Error::Size);
        }
        let (width, height) = (width as usize, height as usize);
        let tolerance = tolerance(settings.quality);
        let shown = vec![0; width * height * 4];
        Ok(Self {
            width,
            height,
            loops,
            settings,
            tolerance,
            shown,
            frames: Vec::new(),
            last: None,
            transparent: false,
        })
    }

    /// Adds a frame of four bytes a pixel, alpha not premultiplied, that is shown for `millis`. `cancelled` is asked
    /// between rows.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn add(&mut self, rgba: &[u8], millis: u32, cancelled: &dyn Fn() -> bool) -> Result<(), Error> {
        if rgba.len() != self.shown.len() {
            return Err(Error::Size);
        }
        let millis = millis.min(MAX_MILLIS);
        let area = match (self.changed(rgba), self.last) {
            (Some(area), _) => area,
            (None, Some((at, before))) if before + millis <= MAX_MILLIS => {
                self.frames[at + BEFORE_TIME..][..3].copy_from_slice(&three(before + millis));
                self.last = Some((at, before + millis));
                return Ok(());
            }
            // A frame has to have pixels.
            (None, _) => Area { left: 0, top: 0, right: 1, bottom: 1 },
        };
        let mut part = area.cut(rgba, self.width);
        self.transparent |= part.as_chunks().0.iter().any(|[.., alpha]: &[u8; 4]| *alpha < 255);
        let replace = !self.keep(&mut part, area);
        let (width, height) = (area.right - area.left, area.bottom - area.top);
        let side = |side: usize| u32::try_from(side).map_err(|_| Error::Size);
        let file = encode(Image::Rgba(&part), side(width)?, side(height)?, self.settings, cancelled)?;
        self.write(area, millis, replace, &file);
        for (y, row) in (area.top..).zip(part.chunks_exact(width * 4)) {
            let shown = self.shown[(y * self.width + area.left) * 4..].as_chunks_mut().0.iter_mut();
            for (shown, pixel) in shown.zip(row.as_chunks::<4>().0).filter(|(_, pixel)| replace || pixel[3] > 0) {
                *shown = *pixel;
            }
        }
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// Without a frame.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        if self.frames.is_empty() {
            return Err(Error::Encoder(0));
        }
        let flags = 2 | u8::from(self.transparent) << 4;
        let mut chunks = Vec::with_capacity(self.frames.len() + 64);
        chunk(&mut chunks, *b"VP8X", &[&[flags, 0, 0, 0][..], &three_of(self.width - 1), &three_of(self.height - 1)]);
        // Nothing behind the frames, which viewers do anyway.
        chunk(&mut chunks, *b"ANIM", &[&[0; 4], &self.loops.to_le_bytes()]);
        chunks.extend_from_slice(&self.frames);
        let mut file = Vec::with_capacity(chunks.len() + 12);
        chunk(&mut file, *b"RIFF", &[b"WEBP", &chunks]);
        Ok(file)
    }

    /// The smallest rectangle around all that is not as it is shown. Frames begin at even numbers.
    fn changed(&self, rgba: &[u8]) -> Option<Area> {
        let mut area = Area { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };
        let rows = rgba.chunks_exact(self.width * 4).zip(self.shown.chunks_exact(self.width * 4));
        for (y, (new, old)) in rows.enumerate().filter(|(_, (new, old))| new != old) {
            let pixels = new.as_chunks().0.iter().zip(old.as_chunks().0).enumerate();
            for (x, _) in pixels.filter(|(_, (new, old))| !similar(**new, **old, self.tolerance)) {
                area.left = area.left.min(x & !1);
                area.right = area.right.max(x + 1);
                area.top = area.top.min(y & !1);
                area.bottom = y + 1;
            }
        }
        (area.right > 0).then_some(area)
    }

    /// Makes transparent what may stay as it is shown. Not where something else becomes transparent: then the frame has to
    /// take the place of what is shown.
    fn keep(&self, part: &mut [u8], area: Area) -> bool {
        let old = area.cut(&self.shown, self.width);
        let old = old.as_chunks::<4>().0;
        let part = part.as_chunks_mut::<4>().0;
        let stays = |(new, old): (&[u8; 4], &[u8; 4])| similar(*new, *old, self.tolerance);
        if !part.iter().zip(old).all(|(new, old)| new[3] == 255 || stays((new, old))) {
            return false;
        }
        part.iter_mut().filter(|pixel| pixel[3] < 255).for_each(|pixel| pixel[3] = 0);
        let (width, height) = (area.right - area.left, area.bottom - area.top);
        for top in (0..height).step_by(BLOCK) {
            for left in (0..width).step_by(BLOCK) {
                let rows = (top..height.min(top + BLOCK)).map(|y| y * width + left);
                let rows = rows.map(|at| at..at + BLOCK.min(width - left));
                if rows.clone().all(|row| part[row.clone()].iter().zip(&old[row]).all(stays)) {
                    rows.for_each(|row| part[row].iter_mut().for_each(|pixel| pixel[3] = 0));
                }
            }
        }
        true
    }

    fn write(&mut self, area: Area, millis: u32, replace: bool, file: &[u8]) {
        self.last = Some((self.frames.len(), millis));
        let sides = [area.left / 2, area.top / 2, area.right - area.left - 1, area.bottom - area.top - 1];
        let [left, top, width, height] = sides.map(three_of);
        let flags = if replace { REPLACE } else { 0 };
        let pictures = pictures(file);
        self.transparent |= pictures.starts_with(b"ALPH");
        chunk(&mut self.frames, *b"ANMF", &[&left, &top, &width, &height, &three(millis), &[flags], pictures]);
    }
}

/// A part of the picture, without its last column and row.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Area {
    fn cut(self, rgba: &[u8], width: usize) -> Vec<u8> {
        let rows = rgba.chunks_exact(width * 4).take(self.bottom).skip(self.top);
        rows.flat_map(|row| &row[self.left * 4..self.right * 4]).copied().collect()
    }
}

/// As libwebp has it: the better the quality, the less may be off.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to 31
fn tolerance(quality: f32) -> u32 {
    (31.0 - 30.0 * (quality.clamp(0.0, 100.0) / 100.0).sqrt()).round() as u32
}

/// Whether nobody would see a difference; the less there is of a colour, the more it may be off.
fn similar(a: [u8; 4], b: [u8; 4], tolerance: u32) -> bool {
    let near = |(a, b): (u8, u8), alpha: u8| u32::from(a.abs_diff(b)) * u32::from(alpha) <= tolerance * 255;
    a[3] == b[3] && (0..3).all(|at| near((a[at], b[at]), a[3]))
}

fn three(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

/// Of a side, which has 14 bits.
#[allow(clippy::cast_possible_truncation)]
fn three_of(side: usize) -> [u8; 3] {
    three(side as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Settings = Settings { quality: 80.0, method: 0, segments: 1, noise_shaping: 50 };

    fn go_on() -> bool {
        false
    }

    /// The chunks of this name, by what follows their heads.
    fn chunks(webp: &[u8], name: [u8; 4]) -> Vec<&[u8]> {
        webp.windows(4).zip(8..).filter(|(at, _)| *at == name).map(|(_, at)| &webp[at..]).collect()
    }

    #[test]
    fn frames_become_one_file() {
        let mut animation = Animation::new(4, 3, 7, FAST).expect("starts");
        for shade in [0, 120, 240] {
            animation.add(&[[shade, shade, shade, 255]; 4 * 3].concat(), 50, &go_on).expect("fits");
        }
        let webp = animation.finish().expect("assembles");
        assert_eq!(chunks(&webp, *b"ANMF").len(), 3);
        assert_eq!(chunks(&webp, *b"VP8X")[0][..10], [2, 0, 0, 0, 3, 0, 0, 2, 0, 0]);
        assert_eq!(chunks(&webp, *b"ANIM")[0][..6], [0, 0, 0, 0, 7, 0]);
        assert_eq!(u32::from_le_bytes([webp[4], webp[5], webp[6], webp[7]]) as usize, webp.len() - 8);
    }

    #[test]
    fn what_has_not_changed_is_not_written() {
        let mut pixels = [[9, 90, 9, 255]; 64 * 48].concat();
        let mut animation = Animation::new(64, 48, 0, FAST).expect("starts");
        animation.add(&pixels, 50, &go_on).expect("fits");
        // Less than anybody sees, and then nothing: both only make the first frame longer.
        pixels[0] += 1;
        animation.add(&pixels, 50, &go_on).expect("fits");
        animation.add(&pixels, 30, &go_on).expect("fits");
        // Two pixels, far apart, with blocks between them that stay.
        for at in [5 * 64 + 7, 40 * 64 + 60] {
            pixels[at * 4..][..3].copy_from_slice(&[255, 9, 255]);
        }
        animation.add(&pixels, 40, &go_on).expect("fits");
        // A place that becomes transparent.
        pixels[0..4].fill(0);
        animation.add(&pixels, MAX_MILLIS, &go_on).expect("fits");
        animation.add(&pixels, 1, &go_on).expect("fits");
        let webp = animation.finish().expect("assembles");
        let frames: Vec<&[u8]> = chunks(&webp, *b"ANMF").into_iter().map(|frame| &frame[..20]).collect();
        let expected = [
            [0, 0, 0, 0, 0, 0, 63, 0, 0, 47, 0, 0, 130, 0, 0, 0, b'V', b'P', b'8', b' '],
            [3, 0, 0, 2, 0, 0, 54, 0, 0, 36, 0, 0, 40, 0, 0, 0, b'A', b'L', b'P', b'H'],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 2, b'A', b'L', b'P', b'H'],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'A', b'L', b'P', b'H'],
        ];
        assert_eq!(frames, expected);
        assert_eq!(chunks(&webp, *b"VP8X")[0][0], 0x12, "it has transparency");
    }

    #[test]
    fn small_changes_do_not_add_up_unseen() {
        let mut animation = Animation::new(16, 16, 0, FAST).expect("starts");
        for shade in 100..120 {
            animation.add(&[[shade, shade, shade, 255]; 16 * 16].concat(), 50, &go_on).expect("fits");
        }
        let frames = chunks(&animation.finish().expect("assembles"), *b"ANMF").len();
        assert_eq!(frames, 4, "one for each five steps");
    }

    #[test]
    fn a_frame_of_another_size_never_reaches_c() {
        let mut animation = Animation::new(4, 3, 0, FAST).expect("starts");
        assert_eq!(animation.add(&[0; 47], 50, &go_on), Err(Error::Size));
        assert_eq!(Animation::new(0, 3, 0, FAST).map(|_| ()), Err(Error::Size));
        assert!(animation.finish().is_err(), "an animation without frames is none");
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let mut animation = Animation::new(64, 64, 0, FAST).expect("starts");
        assert_eq!(animation.add(&[255; 64 * 64 * 4], 50, &|| true), Err(Error::Cancelled));
    }
}
