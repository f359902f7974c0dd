//! Resizing by a Lanczos filter, in whole numbers, so that the same bytes come out on every machine.
//!
//! A filter that works on columns adds up whole rows, each times one weight, which is what vector instructions are good
//! at. So there is one pass, over columns, and it leaves the picture lying on its side; a second one does what is left.
//! Written so, the compiler needs no help to use the instructions of the processor that it compiles for, and the whole
//! of it is a few kilobytes of code in a package that has to be loaded at every cold start.

use std::{f64::consts::PI, ops::Range};

use crate::{Cancel, Error};

/// The reach of the filter, in pixels of the smaller picture.
const REACH: f64 = 3.0;

/// Fractional bits of a weight. No weight is larger than 1, so all of them fit 16 bits with their sign.
const BITS: u32 = 14;

/// Samples that are added up side by side: their sums fit the registers.
const LANES: usize = 16;

/// Rows that are laid on their sides together, so that what is written lies side by side.
const TOGETHER: usize = 8;

/// Rows on one side of the picture, or columns on the other, and which of them become which.
#[derive(Debug)]
pub(crate) struct Axis {
    taps: Vec<Taps>,
    weights: Vec<i16>,
}

/// What one row is made of: the first row of the source, and where its weights are.
#[derive(Debug)]
struct Taps {
    first: usize,
    weights: Range<usize>,
}

impl Axis {
    /// Makes `count` out of the part of `all` that begins at `start` and is `length` long. What lies around the part
    /// counts at its edges.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // sides of a picture
    pub(crate) fn new(all: u32, start: f64, length: f64, count: u32) -> Self {
        let shrink = length / f64::from(count);
        let stretch = shrink.max(1.0);
        let mut axis = Self { taps: Vec::with_capacity(count as usize), weights: Vec::new() };
        let mut exact = Vec::new();
        for at in 0..count {
            let center = start + (f64::from(at) + 0.5) * shrink;
            let end = ((center + REACH * stretch + 0.5).floor() as usize).clamp(1, all.max(1) as usize);
            let first = ((center - REACH * stretch + 0.5).floor().max(0.0) as usize).min(end - 1);
            exact.clear();
            exact.extend((first..end).map(|sample| lanczos((sample as f64 + 0.5 - center) / stretch)));
            axis.push(first, &exact);
        }
        axis
    }

    /// Rounds weights to where their sum is at each of them, so that it comes to exactly 1: what is flat stays as it is.
    #[allow(clippy::cast_possible_truncation)] // at most 2, as a fraction of 2^14
    fn push(&mut self, first: usize, exact: &[f64]) {
        let begin = self.weights.len();
        let unit = f64::from(1 << BITS) / exact.iter().sum::<f64>();
        let (mut sum, mut before) = (0.0, 0);
        for weight in exact {
            sum += weight * unit;
            let now = sum.round() as i16;
            self.weights.push(now - before);
            before = now;
        }
        self.taps.push(Taps { first, weights: begin..self.weights.len() });
    }

    /// The samples of the source that count.
    fn span(&self) -> Range<usize> {
        let first = self.taps.iter().map(|taps| taps.first).min().unwrap_or_default();
        first..self.taps.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or_default()
    }
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    if x.abs() < REACH { sinc(x) * sinc(x / REACH) } else { 0.0 }
}

/// Resizes a picture of `width` pixels a row, with `CHANNELS` bytes in each.
pub(crate) fn resize<const CHANNELS: usize>(
    pixels: &[u8],
    width: u32,
    columns: &Axis,
    rows: &Axis,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let span = columns.span();
    let turned = pass::<CHANNELS>(pixels, width as usize, span.clone(), 0, rows, cancel)?;
    pass::<CHANNELS>(&turned, rows.taps.len(), 0..rows.taps.len(), span.start, columns, cancel)
}

/// Filters these columns of a picture, and lays the result on its side: the pixels of a column become those of a row.
/// The picture begins with row `first` of those that the axis counts.
fn pass<const CHANNELS: usize>(
    pixels: &[u8],
    width: usize,
    columns: Range<usize>,
    first: usize,
    axis: &Axis,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let height = axis.taps.len();
    let samples = columns.len() * CHANNELS;
    let mut out = vec![0; samples * height];
    let mut lines = vec![0; samples * TOGETHER];
    for (taps, y) in axis.taps.chunks(TOGETHER).zip((0..).step_by(TOGETHER)) {
        cancel.check()?;
        for (taps, line) in taps.iter().zip(lines.chunks_exact_mut(samples)) {
            let top = ((taps.first - first) * width + columns.start) * CHANNELS;
            let source = pixels.get(top..).unwrap_or_default();
            add_up(source, width * CHANNELS, &axis.weights[taps.weights.clone()], line);
        }
        turn::<CHANNELS>(&lines[..samples * taps.len()], samples, &mut out, y, height);
    }
    Ok(out)
}

/// Adds up rows that are `stride` samples apart, each times its weight.
fn add_up(source: &[u8], stride: usize, weights: &[i16], line: &mut [u8]) {
    let samples = line.len();
    if samples < LANES {
        for (at, sample) in line.iter_mut().enumerate() {
            [*sample] = sums(source.get(at..).unwrap_or_default(), stride, weights);
        }
        return;
    }
    for at in (0..samples).step_by(LANES) {
        // The last ones begin early, and some are made twice.
        let at = at.min(samples - LANES);
        let sums: [u8; LANES] = sums(source.get(at..).unwrap_or_default(), stride, weights);
        line[at..at + LANES].copy_from_slice(&sums);
    }
}

/// The first samples of the sum, rounded to the nearest.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
fn sums<const N: usize>(source: &[u8], stride: usize, weights: &[i16]) -> [u8; N] {
    let mut sums = [1 << (BITS - 1); N];
    let rows = source.chunks(stride).map_while(|row| row.first_chunk::<N>());
    for (row, weight) in rows.zip(weights) {
        for (sum, sample) in sums.iter_mut().zip(row) {
            *sum += i32::from(*sample) * i32::from(*weight);
        }
    }
    sums.map(|sum| (sum >> BITS).clamp(0, 255) as u8)
}

/// Writes rows of a picture to columns of one that is `height` pixels wide, beginning with column `y`.
fn turn<const CHANNELS: usize>(lines: &[u8], samples: usize, out: &mut [u8], y: usize, height: usize) {
    let (out, count) = (out.as_chunks_mut::<CHANNELS>().0, lines.len() / samples);
    for (x, column) in out.chunks_exact_mut(height).enumerate() {
        let pixels = lines[x * CHANNELS..].chunks(samples).filter_map(|line| line.first_chunk());
        for (place, pixel) in column[y..y + count].iter_mut().zip(pixels) {
            *place = *pixel;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized<const CHANNELS: usize>(pixels: &[u8], width: u32, columns: &Axis, rows: &Axis) -> Vec<u8> {
        resize::<CHANNELS>(pixels, width, columns, rows, &Cancel::never()).expect("nobody stops it")
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let axis = Axis::new(8, 0.0, 8.0, 4);
        let cancel = Cancel::never();
        cancel.cancel();
        assert_eq!(resize::<1>(&[9; 64], 8, &axis, &axis, &cancel), Err(Error::Cancelled));
    }

    /// What the filter is, written down without tables, passes or whole numbers.
    fn by_definition(pixels: &[u8], width: usize, at: (f64, f64), shrink: (f64, f64)) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (index, pixel) in pixels.iter().enumerate() {
            let place = |index: usize| f64::from(u32::try_from(index).expect("small")) + 0.5;
            let (x, y) = (place(index % width) - at.0, place(index / width) - at.1);
            let weight = lanczos(x / shrink.0.max(1.0)) * lanczos(y / shrink.1.max(1.0));
            sum += weight * f64::from(*pixel);
            total += weight;
        }
        (sum / total).clamp(0.0, 255.0)
    }

    #[test]
    fn the_filter_is_the_one_of_the_textbook() {
        // Fewer samples than are added up at a time, more, and a part of the picture; smaller and larger.
        for (width, height, (left, part), out) in
            [(70, 41, (0.0, 70.0), 33), (90, 20, (7.25, 61.5), 20), (150, 90, (0.0, 150.0), 40), (9, 9, (2.0, 5.0), 12)]
        {
            let mut state = 1_u32;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Not the whole range: rounding between the passes cuts off what rings beyond it.
                80 + (state >> 25) as u8 % 96
            });
            let pixels: Vec<u8> = noise.take((width * height) as usize).collect();
            let (columns, rows) = (Axis::new(width, left, part, out), Axis::new(height, 0.0, f64::from(height), out));
            let made = resized::<1>(&pixels, width, &columns, &rows);
            assert_eq!(made.len(), (out * out) as usize);
            let shrink = (part / f64::from(out), f64::from(height) / f64::from(out));
            for y in 0..out {
                for x in 0..out {
                    let at = (left + (f64::from(x) + 0.5) * shrink.0, (f64::from(y) + 0.5) * shrink.1);
                    let expected = by_definition(&pixels, width as usize, at, shrink);
                    let got = f64::from(made[(y * out + x) as usize]);
                    assert!((got - expected).abs() < 1.5, "{width} x {height} at {x}, {y}: {got} for {expected}");
                }
            }
        }
    }

    #[test]
    fn channels_stay_apart_and_what_is_flat_stays_flat() {
        let (columns, rows) = (Axis::new(200, 3.0, 190.0, 37), Axis::new(100, 0.0, 100.0, 50));
        let rgb: Vec<u8> = [10, 0, 255].repeat(200 * 100);
        assert_eq!(resized::<3>(&rgb, 200, &columns, &rows), [10, 0, 255].repeat(37 * 50));
        let rgba: Vec<u8> = [1, 2, 3, 254].repeat(200 * 100);
        assert_eq!(resized::<4>(&rgba, 200, &columns, &rows), [1, 2, 3, 254].repeat(37 * 50));
    }

    #[test]
    fn a_picture_that_is_not_there_is_no_reason_to_panic() {
        let (columns, rows) = (Axis::new(8, 0.0, 8.0, 4), Axis::new(0, -2.0, 8.0, 4));
        assert_eq!(resized::<1>(&[], 8, &columns, &rows).len(), 16);
        let beyond = Axis::new(8, 20.0, 5.0, 3);
        assert_eq!(resized::<1>(&[9; 64], 8, &beyond, &beyond).len(), 9);
    }
}
