//! What must come out, by the definition of the transform.

use std::f64::consts::{PI, SQRT_2};

use thumbnails_jpeg::Scale;

use crate::support::encoder::{Component, Picture};

/// A plane by definition.
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    samples: Vec<f64>,
    stride: usize,
}

impl Plane {
    pub(crate) fn at(&self, x: usize, y: usize) -> f64 {
        self.samples[y * self.stride + x]
    }
}

/// The samples of a component at a scale.
pub(crate) fn plane(picture: &Picture, component: &Component, scale: Scale) -> Plane {
    let n = 8 / scale.denominator() as usize;
    let most = |factor: fn(&Component) -> usize| picture.components.iter().map(factor).max().expect("a component");
    let side = |length: usize, factor: usize, most: usize| (length * factor * n).div_ceil(most * 8);
    let stride = component.blocks_wide * n;
    let mut samples = vec![0.0; component.blocks.len() * n * n];
    let basis = basis(n);
    for (i, block) in component.blocks.iter().enumerate() {
        let (row, column) = (i / component.blocks_wide * n, i % component.blocks_wide * n);
        let block = natural(block, &picture.quantisers);
        for (y, across) in basis.iter().enumerate() {
            let line: Vec<f64> = (0..n).map(|u| (0..n).map(|v| block[v][u] * across[v]).sum()).collect();
            for (x, along) in basis.iter().enumerate() {
                let sum: f64 = line.iter().zip(along).map(|(value, factor)| value * factor).sum();
                samples[(row + y) * stride + column + x] = (sum / 8.0 + 128.0).clamp(0.0, 255.0);
            }
        }
    }
    Plane {
        width: side(picture.width, component.horizontal, most(|c| c.horizontal)),
        height: side(picture.height, component.vertical, most(|c| c.vertical)),
        samples,
        stride,
    }
}

/// For each sample, the weight of each frequency.
fn basis(n: usize) -> Vec<Vec<f64>> {
    let weakening = [1.0, 0.5, 0.0][n / 4];
    let weight = |at: usize, frequency: usize| {
        if frequency == 0 {
            return 1.0;
        }
        let angle = ((2 * at + 1) * frequency) as f64 * PI / (2 * n) as f64;
        SQRT_2 * angle.cos() * (frequency as f64 * PI / 16.0).cos().powf(weakening)
    };
    (0..n).map(|at| (0..n).map(|frequency| weight(at, frequency)).collect()).collect()
}

/// Dequantised coefficients by row and column.
fn natural(block: &[i32; 64], quantisers: &[u16; 64]) -> [[f64; 8]; 8] {
    let mut places: Vec<(usize, usize)> = (0..64).map(|i| (i / 8, i % 8)).collect();
    // Along the diagonals, every other one upwards.
    places.sort_by_key(|&(row, column)| (row + column, if (row + column) % 2 == 0 { column } else { row }));
    let mut natural = [[0.0; 8]; 8];
    for ((value, quantiser), (row, column)) in block.iter().zip(quantisers).zip(places) {
        natural[row][column] = f64::from(*value) * f64::from(*quantiser);
    }
    natural
}
