//! From coefficients to samples: the inverse cosine transform at four sizes.
//!
//! A block of 8x8 coefficients gives N x N samples by an N-point transform of its lowest N x N coefficients. That is a
//! low-pass filter and a reduction in one, closer to a full decode and a Lanczos filter than the average of the pixels. All arithmetic is `f32` in a fixed order, without fused operations, so the
//! same samples come out on every machine.

use std::f32::consts::SQRT_2;

/// The coefficients of one block, times [`weights`], at `u * 8 + v` for the horizontal frequency `u` and the vertical
/// frequency `v`.
pub(crate) type Block = [f32; 64];

/// Eight values that are treated alike, wide enough for the compiler's vectors.
type Lane = [f32; 8];

/// 1.5 x 2^23. Added to a small number, it leaves that number, rounded, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// cos(k pi/16), for k from 0 to 7.
const COS: [f64; 8] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_27,
];

/// Where the coefficient at a place of the zigzag order stands in a [`Block`].
pub(crate) const PLACE: [u8; 64] = {
    let mut place = [0; 64];
    let (mut row, mut column, mut k) = (0, 0, 0);
    while k < 64 {
        place[k] = column * 8 + row;
        let up = (row + column) % 2 == 0;
        (row, column) = match (up, row, column) {
            (true, _, 7) => (row + 1, column),
            (true, 0, _) | (false, 7, _) => (row, column + 1),
            (true, _, _) => (row - 1, column + 1),
            (false, _, 0) => (row + 1, column),
            (false, _, _) => (row + 1, column - 1),
        };
        k += 1;
    }
    place
};

/// What to multiply each coefficient with, in zigzag order, before the transform to N x N samples: its quantiser, and the
/// factors that the transform leaves out.
pub(crate) fn weights<const N: usize>(quantisers: &[u16; 64]) -> [f32; 64] {
    // A reduced transform that keeps its frequencies as they are comes out a little sharper than a good filter would
    // make it, one that weakens them like the average of the pixels (by their cosine) a little softer at half size.
    let factor = |frequency: usize| match (N, frequency) {
        (_, 0) => 1.0,
        (8, _) => std::f64::consts::SQRT_2 * COS[frequency],
        (4, 1 | 3) => std::f64::consts::SQRT_2 * COS[frequency].sqrt(),
        (4, 2) => COS[2].sqrt(),
        (2, 1) => COS[1],
        _ => 0.0,
    };
    let mut weights = [0.0; 64];
    for ((weight, place), quantiser) in weights.iter_mut().zip(PLACE).zip(quantisers) {
        let (u, v) = (usize::from(place / 8), usize::from(place % 8));
        *weight = (f64::from(*quantiser) * factor(u) * factor(v) / 8.0) as f32;
    }
    weights
}

/// A block of only one coefficient: the sample that fills it.
#[inline]
pub(crate) fn flat(coefficient: i32, quantiser: i32) -> u8 {
    let level = (coefficient.wrapping_mul(quantiser).wrapping_add(4) >> 3).wrapping_add(128);
    level.clamp(0, 255) as u8
}

#[inline]
fn sample(level: f32) -> u8 {
    // Cheaper than a cast, which has to mind what a sample never is.
    let bits = ((level + 128.0).clamp(0.0, 255.0) + ROUND).to_bits();
    bits.to_le_bytes()[0]
}

/// Writes N x N samples to the beginnings of N rows that are `stride` apart.
#[inline]
pub(crate) fn transform<const N: usize>(block: &Block, out: &mut [u8], stride: usize) {
    match N {
        2 => two(block, out, stride),
        4 => four(block, out, stride),
        _ => eight(block, out, stride),
    }
}

#[inline]
fn two(b: &Block, out: &mut [u8], stride: usize) {
    let (top, bottom) = ([b[0] + b[1], b[8] + b[9]], [b[0] - b[1], b[8] - b[9]]);
    for (row, [even, odd]) in out.chunks_mut(stride).zip([top, bottom]) {
        row[..2].copy_from_slice(&[sample(even + odd), sample(even - odd)]);
    }
}

#[inline]
fn four(block: &Block, out: &mut [u8], stride: usize) {
    let lanes = |u: usize| std::array::from_fn(|v| block[u * 8 + v]);
    let samples = four_points(turned(four_points(std::array::from_fn(lanes))));
    for (row, lane) in out.chunks_mut(stride).zip(samples) {
        row[..4].copy_from_slice(&lane.map(sample));
    }
}

/// Four transforms of four points, side by side.
#[inline]
fn four_points(c: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    const C1: f32 = 0.923_879_5;
    const C3: f32 = 0.382_683_43;
    let mut out = [[0.0; 4]; 4];
    for i in 0..4 {
        let (even, odd) = (c[0][i] + c[2][i], c[0][i] - c[2][i]);
        let (outer, inner) = (c[1][i] * C1 + c[3][i] * C3, c[1][i] * C3 - c[3][i] * C1);
        out[0][i] = even + outer;
        out[1][i] = odd + inner;
        out[2][i] = odd - inner;
        out[3][i] = even - outer;
    }
    out
}

#[inline]
fn eight(block: &Block, out: &mut [u8], stride: usize) {
    let lanes = |u: usize| std::array::from_fn(|v| block[u * 8 + v]);
    let samples = eight_points(turned(eight_points(std::array::from_fn(lanes))));
    for (row, lane) in out.chunks_mut(stride).zip(samples) {
        row[..8].copy_from_slice(&lane.map(sample));
    }
}

/// Eight transforms of eight points, side by side, by the factors of Arai, Agui and Nakajima: those multiplications
/// that are alike for a whole row or column stand in [`weights`], five are left.
#[inline]
fn eight_points(c: [Lane; 8]) -> [Lane; 8] {
    const A: f32 = 1.847_759_1; // 2 cos(pi/8)
    const B: f32 = 1.082_392_2; // 2 (cos(pi/8) - sin(pi/8))
    const C: f32 = 2.613_126; // 2 (cos(pi/8) + sin(pi/8))
    let mut out = [[0.0; 8]; 8];
    for i in 0..8 {
        let (sum04, difference04) = (c[0][i] + c[4][i], c[0][i] - c[4][i]);
        let sum26 = c[2][i] + c[6][i];
        let difference26 = (c[2][i] - c[6][i]) * SQRT_2 - sum26;
        let even = [sum04 + sum26, difference04 + difference26, difference04 - difference26, sum04 - sum26];

        let (sum53, difference53) = (c[5][i] + c[3][i], c[5][i] - c[3][i]);
        let (sum17, difference17) = (c[1][i] + c[7][i], c[1][i] - c[7][i]);
        let turn = (difference53 + difference17) * A;
        let odd0 = sum17 + sum53;
        let odd1 = turn - difference53 * C - odd0;
        let odd2 = (sum17 - sum53) * SQRT_2 - odd1;
        let odd3 = turn - difference17 * B - odd2;
        for (j, (even, odd)) in even.into_iter().zip([odd0, odd1, odd2, odd3]).enumerate() {
            out[j][i] = even + odd;
            out[7 - j][i] = even - odd;
        }
    }
    out
}

#[inline]
fn turned<const N: usize>(lanes: [[f32; N]; N]) -> [[f32; N]; N] {
    std::array::from_fn(|i| std::array::from_fn(|j| lanes[j][i]))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// The transform as the standard writes it, from the lowest N x N coefficients, with the highest ones weakened.
    fn by_definition<const N: usize>(coefficients: &[[f64; 8]; 8]) -> Vec<f64> {
        let basis = |frequency: usize, at: usize| -> f64 {
            let angle = (2 * at + 1) as f64 * frequency as f64 * PI / (2 * N) as f64;
            let weakened = (frequency as f64 * PI / 16.0).cos().powf([1.0, 0.5, 0.0][N / 4]);
            if frequency == 0 { 1.0 } else { 2f64.sqrt() * angle.cos() * weakened }
        };
        let mut samples = Vec::new();
        for y in 0..N {
            for x in 0..N {
                let terms = (0..N * N).map(|i| coefficients[i / N][i % N] * basis(i / N, y) * basis(i % N, x));
                samples.push((terms.sum::<f64>() / 8.0 + 128.0).clamp(0.0, 255.0));
            }
        }
        samples
    }

    fn check<const N: usize>(seed: u64) {
        let mut state = seed;
        let mut random = |range: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64 % (2 * range + 1) - range
        };
        let quantisers: [u16; 64] = std::array::from_fn(|k| 1 + k as u16 / 4);
        let weights = weights::<N>(&quantisers);
        let (mut block, mut coefficients) = ([0.0; 64], [[0.0; 8]; 8]);
        for k in 0..64 {
            let value = random(if k == 0 { 600 } else { 40 / (1 + k as i64 / 4) });
            let place = usize::from(PLACE[k]);
            block[place] = value as f32 * weights[k];
            coefficients[place % 8][place / 8] = value as f64 * f64::from(quantisers[k]);
        }
        let mut out = vec![0; N * (N + 3)];
        transform::<N>(&block, &mut out, N + 3);
        let got = out.chunks(N + 3).flat_map(|row| &row[..N]);
        for (got, want) in got.zip(by_definition::<N>(&coefficients)) {
            assert!((f64::from(*got) - want).abs() < 0.51, "seed {seed}, {N}x{N}: {got} for {want}");
        }
    }

    #[test]
    fn transforms_are_those_of_the_standard() {
        for seed in 0..500 {
            check::<2>(seed);
            check::<4>(seed);
            check::<8>(seed);
        }
    }

    #[test]
    fn zigzag_ends_where_it_must() {
        assert_eq!(PLACE[..6], [0, 8, 1, 2, 9, 16]);
        assert_eq!(PLACE[63], 63);
        assert_eq!(PLACE.iter().map(|place| 1u64 << place).fold(0, |all, one| all | one), u64::MAX);
    }

    #[test]
    fn a_flat_block_rounds_to_the_nearest() {
        assert_eq!(
            [flat(0, 16), flat(1, 4), flat(-1, 4), flat(-1, 5), flat(4000, 8), flat(-4000, 8)],
            [128, 129, 128, 127, 255, 0]
        );
    }
}
