//! A first, coarse reduction while rows are decoded, so that a large picture is never whole in memory.

use crate::raster::{Layout, Raster};

/// Averages squares of `factor` pixels a side.
#[derive(Debug)]
pub(crate) struct Shrinker {
    factor: usize,
    width: usize,
    layout: Layout,
    columns: Columns,
    rows: usize,
    pixels: Vec<u8>,
}

/// The sum of each column of the squares that are being filled. Adding rows up is what vector instructions are good at, so
/// the squares are put together only once for all their rows.
#[derive(Debug)]
enum Columns {
    /// 16 x 16 x 255 fits, and twice as many are added up at a time as of wider ones.
    Plain(Vec<u16>),
    /// Colours weighed by alpha.
    Weighed(Vec<u32>),
}

impl Shrinker {
    /// What leaves twice as many pixels as the final size has, for the good filter to work on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    pub(crate) fn factor_for(shrink: f64) -> u16 {
        // 16 x 16 x 255 x 255 fits a sum.
        ((shrink / 2.0).floor().clamp(1.0, 16.0)) as u16
    }

    /// For rows of `width` pixels.
    pub(crate) fn new(factor: u16, width: u32, layout: Layout) -> Self {
        let (factor, width) = (usize::from(factor), width as usize);
        let samples = if factor == 1 { 0 } else { width * layout.bytes() };
        let columns =
            if layout == Layout::Rgba { Columns::Weighed(vec![0; samples]) } else { Columns::Plain(vec![0; samples]) };
        Self { factor, width, layout, columns, rows: 0, pixels: Vec::new() }
    }

    /// Takes a row.
    pub(crate) fn push(&mut self, row: &[u8]) {
        if self.factor == 1 {
            self.pixels.extend_from_slice(row);
            return;
        }
        match &mut self.columns {
            Columns::Plain(columns) => {
                for (sum, value) in columns.iter_mut().zip(row) {
                    *sum += u16::from(*value);
                }
            }
            Columns::Weighed(columns) => {
                let pixels = row.as_chunks::<4>().0.iter();
                for (sums, [red, green, blue, alpha]) in columns.as_chunks_mut::<4>().0.iter_mut().zip(pixels) {
                    let weight = u32::from(*alpha);
                    sums[0] += u32::from(*red) * weight;
                    sums[1] += u32::from(*green) * weight;
                    sums[2] += u32::from(*blue) * weight;
                    sums[3] += weight;
                }
            }
        }
        self.rows += 1;
        if self.rows == self.factor {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let pixels = &mut self.pixels;
        match (&mut self.columns, self.layout) {
            (Columns::Plain(columns), Layout::Gray) => averages::<1>(columns, self.factor, self.rows, pixels),
            (Columns::Plain(columns), Layout::Rgb) => averages::<3>(columns, self.factor, self.rows, pixels),
            (Columns::Plain(columns), _) => averages::<4>(columns, self.factor, self.rows, pixels),
            (Columns::Weighed(columns), _) => weighed_averages(columns, self.factor, self.rows, pixels),
        }
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

/// Appends a row of averages, and begins anew. The last square of a row may be smaller.
fn averages<const BYTES: usize>(columns: &mut [u16], factor: usize, rows: usize, pixels: &mut Vec<u8>) {
    let whole = PlainDivisor::new(factor * rows);
    for square in columns.as_chunks::<BYTES>().0.chunks(factor) {
        // Two columns are the most frequent case, and one in which nothing has to be counted.
        let sums: [u16; BYTES] = match square {
            [left, right] => std::array::from_fn(|at| left[at] + right[at]),
            square => square.iter().fold([0; BYTES], |sums, column| std::array::from_fn(|at| sums[at] + column[at])),
        };
        let by = if square.len() == factor { whole } else { PlainDivisor::new(square.len() * rows) };
        pixels.extend(sums.map(|sum| by.divide(sum)));
    }
    columns.fill(0);
}

/// The same for colours that are weighed by alpha.
fn weighed_averages(columns: &mut [u32], factor: usize, rows: usize, pixels: &mut Vec<u8>) {
    let mut area = PlainDivisor::new(factor * rows);
    let opaque = Divisor::new(factor * rows * 255);
    for square in columns.as_chunks::<4>().0.chunks(factor) {
        let [red, green, blue, alpha] =
            square.iter().fold([0; 4], |sums, column| std::array::from_fn(|at| sums[at] + column[at]));
        if square.len() < factor {
            area = PlainDivisor::new(square.len() * rows);
        }
        let by = if alpha == opaque.divisor { opaque } else { Divisor::new(alpha as usize) };
        let alpha = area.divide(u16::try_from(alpha).unwrap_or(u16::MAX));
        pixels.extend([by.divide(red), by.divide(green), by.divide(blue), alpha]);
    }
    columns.fill(0);
}

/// Divides by multiplying, which takes a fraction of the time; most sums are divided by the same number.
#[derive(Clone, Copy)]
struct PlainDivisor {
    half: u32,
    inverse: u32,
}

impl PlainDivisor {
    /// The bits of the fraction: exact for every sum of up to 256 bytes, and its product fits 32 bits.
    const BITS: u32 = 24;

    #[allow(clippy::cast_possible_truncation)] // at most 16 x 16
    fn new(area: usize) -> Self {
        let area = area.max(1) as u32;
        Self { half: area / 2, inverse: (1 << Self::BITS) / area + u32::from(!area.is_power_of_two()) }
    }

    /// Rounded to the nearest.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // an average of bytes
    fn divide(self, sum: u16) -> u8 {
        ((u32::from(sum) + self.half).wrapping_mul(self.inverse) >> Self::BITS) as u8
    }
}

/// The same for what is weighed by alpha.
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
    fn so_does_the_one_for_bytes() {
        for area in 1..=16 * 16_usize {
            let by = PlainDivisor::new(area);
            for sum in 0..=area * 255 {
                let expected = (sum + area / 2) / area;
                assert_eq!(usize::from(by.divide(u16::try_from(sum).expect("small"))), expected, "{sum} / {area}");
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
