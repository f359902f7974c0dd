//! A first, coarse reduction while rows are decoded, so that a large picture is never whole in memory.

use crate::raster::{Layout, Raster};

/// Averages squares of `factor` pixels a side.
#[derive(Debug)]
pub(crate) struct Shrinker {
    factor: usize,
    width: usize,
    layout: Layout,
    /// The sum of each column of the squares that are being filled; of `Rgba` the colours are weighed by alpha. Adding
    /// rows up is what vector instructions are good at, so the squares are put together only once for all their rows.
    columns: Vec<u32>,
    rows: usize,
    pixels: Vec<u8>,
}

impl Shrinker {
    /// What leaves twice as many pixels as the final size has, for the good filter to work on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    pub(crate) fn factor_for(shrink: f64) -> u16 {
        // 16 x 16 x 255 x 255 fits a sum.
        ((shrink / 2.0).floor().clamp(1.0, 16.0)) as u16
    }

    pub(crate) fn new(factor: u16, width: u32, layout: Layout) -> Self {
        let (factor, width) = (usize::from(factor), width as usize);
        let columns = if factor == 1 { Vec::new() } else { vec![0; width * layout.bytes()] };
        Self { factor, width, layout, columns, rows: 0, pixels: Vec::new() }
    }

    /// Takes a row.
    pub(crate) fn push(&mut self, row: &[u8]) {
        if self.factor == 1 {
            self.pixels.extend_from_slice(row);
            return;
        }
        if self.layout == Layout::Rgba {
            let pixels = row.as_chunks::<4>().0.iter();
            for (sums, [red, green, blue, alpha]) in self.columns.as_chunks_mut::<4>().0.iter_mut().zip(pixels) {
                let weight = u32::from(*alpha);
                sums[0] += u32::from(*red) * weight;
                sums[1] += u32::from(*green) * weight;
                sums[2] += u32::from(*blue) * weight;
                sums[3] += weight;
            }
        } else {
            for (sum, value) in self.columns.iter_mut().zip(row) {
                *sum += u32::from(*value);
            }
        }
        self.rows += 1;
        if self.rows == self.factor {
            self.flush();
        }
    }

    fn flush(&mut self) {
        match self.layout {
            Layout::Gray => self.flush_pixels::<1>(),
            Layout::Rgb => self.flush_pixels::<3>(),
            Layout::Rgba | Layout::Cmyk => self.flush_pixels::<4>(),
        }
        self.columns.fill(0);
        self.rows = 0;
    }

    fn flush_pixels<const BYTES: usize>(&mut self) {
        let columns = self.columns.as_chunks::<BYTES>().0;
        let begin = self.pixels.len();
        self.pixels.resize(begin + columns.len().div_ceil(self.factor) * BYTES, 0);
        let pixels = self.pixels[begin..].as_chunks_mut::<BYTES>().0;
        let whole = Divisors::new(self.factor * self.rows, self.layout);
        for (pixel, square) in pixels.iter_mut().zip(columns.chunks(self.factor)) {
            // Two columns are the most frequent case, and one in which nothing has to be counted.
            let sums = match square {
                [left, right] => std::array::from_fn(|at| left[at] + right[at]),
                square => {
                    square.iter().fold([0; BYTES], |sums, column| std::array::from_fn(|at| sums[at] + column[at]))
                }
            };
            if square.len() == self.factor {
                whole.average(sums, pixel);
            } else {
                // The last one of a row.
                Divisors::new(square.len() * self.rows, self.layout).average(sums, pixel);
            }
        }
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

/// What sums are divided by.
struct Divisors {
    area: Divisor,
    /// For colours that are weighed by alpha, where all of it is opaque.
    opaque: Option<Divisor>,
}

impl Divisors {
    fn new(area: usize, layout: Layout) -> Self {
        let opaque = (layout == Layout::Rgba).then(|| Divisor::new(area * 255));
        Self { area: Divisor::new(area), opaque }
    }

    #[inline]
    fn average<const BYTES: usize>(&self, sums: [u32; BYTES], pixel: &mut [u8; BYTES]) {
        let mut by = self.area;
        if let (Some(opaque), Some(alpha)) = (self.opaque, sums.last()) {
            by = if *alpha == opaque.divisor { opaque } else { Divisor::new(*alpha as usize) };
        }
        for (value, sum) in pixel.iter_mut().zip(sums) {
            *value = by.divide(sum);
        }
        if let (Some(_), Some(value), Some(alpha)) = (self.opaque, pixel.last_mut(), sums.last()) {
            *value = self.area.divide(*alpha);
        }
    }
}

/// Divides by multiplying, which takes a fraction of the time; most sums are divided by the same number.
#[derive(Clone, Copy)]
struct Divisor {
    divisor: u32,
    inverse: u64,
}

impl Divisor {
    /// The bits of the fraction: exact for every sum and every weight of a square, which have 24 bits each.
    const BITS: u32 = 40;

    #[allow(clippy::cast_possible_truncation)] // at most 16 x 16 x 255
    fn new(divisor: usize) -> Self {
        Self { divisor: divisor as u32, inverse: (1 << Self::BITS) / divisor.max(1) as u64 + 1 }
    }

    /// Rounded to the nearest; of nothing it is 0.
    #[inline]
    fn divide(self, sum: u32) -> u8 {
        let quotient = (u64::from(sum + self.divisor / 2) * self.inverse) >> Self::BITS;
        u8::try_from(quotient).unwrap_or(u8::MAX)
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
    fn a_multiplication_divides_exactly() {
        for divisor in (1..=16 * 16).flat_map(|area| [area, area * 254 + 1, area * 255]) {
            let by = Divisor::new(divisor);
            let largest = divisor * 255;
            for sum in (0..=255)
                .flat_map(|value| [value * divisor, value * divisor + divisor / 2, value * divisor + (divisor - 1) / 2])
            {
                let sum = sum.min(largest);
                let expected = (sum + divisor / 2) / divisor;
                assert_eq!(usize::from(by.divide(u32::try_from(sum).expect("small"))), expected, "{sum} / {divisor}");
            }
        }
    }

    #[test]
    fn what_is_transparent_has_no_colour() {
        let mut shrinker = Shrinker::new(2, 2, Layout::Rgba);
        shrinker.push(&[200, 100, 50, 255, 0, 0, 0, 0]);
        shrinker.push(&[0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(shrinker.finish().pixels, [200, 100, 50, 64]);
    }
}
