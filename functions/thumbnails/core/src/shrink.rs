//! A first, coarse reduction while rows are decoded, so that a large picture is never whole in memory.

use crate::raster::{Layout, Raster};

/// Averages squares of `factor` pixels a side.
#[derive(Debug)]
pub(crate) struct Shrinker {
    factor: usize,
    width: usize,
    layout: Layout,
    /// Sums of the squares that are being filled; of `Rgba` the colours are weighed by alpha.
    sums: Vec<u32>,
    rows: usize,
    pixels: Vec<u8>,
}

impl Shrinker {
    /// What leaves twice as many pixels as the final size has, for the good filter to work on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a picture has at most 16383 pixels a side
    pub(crate) fn factor_for(shrink: f64) -> u16 {
        // 16 x 16 x 255 x 255 fits a sum.
        ((shrink / 2.0).floor().clamp(1.0, 16.0)) as u16
    }

    pub(crate) fn new(factor: u16, width: u32, layout: Layout) -> Self {
        let (factor, width) = (usize::from(factor), width as usize);
        let sums = vec![0; width.div_ceil(factor) * layout.bytes()];
        Self { factor, width, layout, sums, rows: 0, pixels: Vec::new() }
    }

    /// Takes a row.
    pub(crate) fn push(&mut self, row: &[u8]) {
        if self.factor == 1 {
            self.pixels.extend_from_slice(row);
            return;
        }
        let bytes = self.layout.bytes();
        let squares = row.chunks(self.factor * bytes).zip(self.sums.chunks_exact_mut(bytes));
        match self.layout {
            Layout::Rgba => squares.for_each(|(square, sums)| add_weighed(square, sums)),
            Layout::Rgb => squares.for_each(|(square, sums)| add::<3>(square, sums)),
            Layout::Gray => squares.for_each(|(square, sums)| add::<1>(square, sums)),
            Layout::Cmyk => squares.for_each(|(square, sums)| add::<4>(square, sums)),
        }
        self.rows += 1;
        if self.rows == self.factor {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let bytes = self.layout.bytes();
        let mut left = self.width;
        for sums in self.sums.chunks_exact(bytes) {
            let wide = left.min(self.factor);
            left -= wide;
            let count = u32::try_from(wide * self.rows).unwrap_or(1);
            let mean = |sum: u32, weight: u32| u8::try_from((sum + weight / 2) / weight.max(1)).unwrap_or(u8::MAX);
            if let [red, green, blue, alpha] = *sums
                && self.layout == Layout::Rgba
            {
                self.pixels.extend([mean(red, alpha), mean(green, alpha), mean(blue, alpha), mean(alpha, count)]);
            } else {
                self.pixels.extend(sums.iter().map(|sum| mean(*sum, count)));
            }
        }
        self.sums.fill(0);
        self.rows = 0;
    }

    /// What has come of all rows.
    pub(crate) fn finish(mut self) -> Raster {
        if self.rows > 0 {
            self.flush();
        }
        let width = self.width.div_ceil(self.factor);
        let height = self.pixels.len() / (width * self.layout.bytes());
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        Raster { width: side(width), height: side(height), layout: self.layout, pixels: self.pixels }
    }
}

fn add<const BYTES: usize>(square: &[u8], sums: &mut [u32]) {
    let mut total = [0_u32; BYTES];
    for pixel in square.as_chunks::<BYTES>().0 {
        for (sum, value) in total.iter_mut().zip(pixel) {
            *sum += u32::from(*value);
        }
    }
    for (sum, more) in sums.iter_mut().zip(total) {
        *sum += more;
    }
}

fn add_weighed(square: &[u8], sums: &mut [u32]) {
    let mut total = [0_u32; 4];
    for [red, green, blue, alpha] in square.as_chunks::<4>().0 {
        let weight = u32::from(*alpha);
        total[0] += u32::from(*red) * weight;
        total[1] += u32::from(*green) * weight;
        total[2] += u32::from(*blue) * weight;
        total[3] += weight;
    }
    for (sum, more) in sums.iter_mut().zip(total) {
        *sum += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged_and_the_last_ones_may_be_smaller() {
        let mut shrinker = Shrinker::new(2, 3, Layout::Gray);
        for row in [[10, 20, 100], [30, 40, 102], [1, 2, 3]] {
            shrinker.push(&row);
        }
        let raster = shrinker.finish();
        assert_eq!((raster.width, raster.height, raster.pixels), (2, 2, vec![25, 101, 2, 3]));
    }

    #[test]
    fn what_is_transparent_has_no_colour() {
        let mut shrinker = Shrinker::new(2, 2, Layout::Rgba);
        shrinker.push(&[200, 100, 50, 255, 0, 0, 0, 0]);
        shrinker.push(&[0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(shrinker.finish().pixels, [200, 100, 50, 64]);
    }
}
