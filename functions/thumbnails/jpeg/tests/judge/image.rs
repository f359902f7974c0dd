//! Pictures of one component, and how alike two of them are.

use std::f64::consts::PI;

pub(crate) struct Image {
    pub(crate) width: usize,
    pub(crate) height: usize,
    samples: Vec<u8>,
}

impl Image {
    pub(crate) fn new(width: usize, height: usize, samples: Vec<u8>) -> Self {
        assert_eq!(samples.len(), width * height);
        Self { width, height, samples }
    }

    /// The mean of each rectangle of so many samples; fewer at the edges.
    pub(crate) fn averaged(&self, across: usize, down: usize) -> Self {
        let (width, height) = (self.width.div_ceil(across), self.height.div_ceil(down));
        let mut samples = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let rows = self.samples.chunks(self.width).skip(y * down).take(down);
                let values: Vec<u32> =
                    rows.flat_map(|row| row[x * across..].iter().take(across)).map(|value| u32::from(*value)).collect();
                let count = values.len() as u32;
                samples.push(((values.iter().sum::<u32>() + count / 2) / count) as u8);
            }
        }
        Self::new(width, height, samples)
    }

    /// Reduced by a Lanczos filter of three lobes; `shrink` source samples for each of the result's.
    pub(crate) fn lanczos(&self, width: usize, height: usize, shrink: f64) -> Self {
        let across: Vec<Vec<f64>> = self
            .samples
            .chunks(self.width)
            .map(|row| {
                let row: Vec<f64> = row.iter().map(|sample| f64::from(*sample)).collect();
                filtered(&row, width, shrink)
            })
            .collect();
        let mut samples = vec![0; width * height];
        for x in 0..width {
            let column: Vec<f64> = across.iter().map(|row| row[x]).collect();
            for (y, value) in filtered(&column, height, shrink).into_iter().enumerate() {
                samples[y * width + x] = value.round().clamp(0.0, 255.0) as u8;
            }
        }
        Self::new(width, height, samples)
    }

    /// Peak signal-to-noise ratio in decibels; infinite for equal pictures.
    pub(crate) fn psnr(&self, other: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        let squares: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        10.0 * (255.0 * 255.0 * self.samples.len() as f64 / squares).log10()
    }

    /// Structural similarity, over squares of eight samples a side that overlap by half.
    pub(crate) fn ssim(&self, other: &Self) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for y in (0..=self.height.saturating_sub(8)).step_by(4) {
            for x in (0..=self.width.saturating_sub(8)).step_by(4) {
                sum += similarity(&self.window(x, y), &other.window(x, y));
                count += 1.0;
            }
        }
        sum / count
    }

    fn window(&self, x: usize, y: usize) -> Vec<f64> {
        let rows = self.samples.chunks(self.width).skip(y).take(8);
        rows.flat_map(|row| row[x..].iter().take(8)).map(|sample| f64::from(*sample)).collect()
    }
}

fn similarity(a: &[f64], b: &[f64]) -> f64 {
    const C1: f64 = 6.5025;
    const C2: f64 = 58.5225;
    let count = a.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / count;
    let (variance_a, variance_b) = (product(a, a) - mean_a * mean_a, product(b, b) - mean_b * mean_b);
    let covariance = product(a, b) - mean_a * mean_b;
    (2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2)
        / ((mean_a * mean_a + mean_b * mean_b + C1) * (variance_a + variance_b + C2))
}

fn filtered(values: &[f64], length: usize, shrink: f64) -> Vec<f64> {
    let lanczos = |x: f64| match x.abs() {
        0.0 => 1.0,
        x if x < 3.0 => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * PI * x * x),
        _ => 0.0,
    };
    let value = |i: usize| {
        let center = (i as f64 + 0.5) * shrink;
        let from = (center - 3.0 * shrink).floor().max(0.0) as usize;
        let to = ((center + 3.0 * shrink).ceil() as usize).min(values.len());
        let weights: Vec<f64> = (from..to).map(|at| lanczos((at as f64 + 0.5 - center) / shrink)).collect();
        let sum: f64 = values[from..to].iter().zip(&weights).map(|(value, weight)| value * weight).sum();
        sum / weights.iter().sum::<f64>()
    };
    (0..length).map(value).collect()
}

/// Reads a PGM or PPM file: one picture for each channel.
pub(crate) fn read_pnm(data: &[u8]) -> Vec<Image> {
    let mut words = data.splitn(5, u8::is_ascii_whitespace);
    let mut word = || words.next().expect("five parts");
    let channels = if word() == b"P6" { 3 } else { 1 };
    let mut number = || -> usize { str::from_utf8(word()).expect("ASCII").parse().expect("a number") };
    let (width, height, _) = (number(), number(), number());
    let samples = word();
    let channel = |c: usize| samples.iter().skip(c).step_by(channels).copied().collect();
    (0..channels).map(|c| Image::new(width, height, channel(c))).collect()
}

/// Cb and Cr of red, green and blue, as JFIF defines them.
pub(crate) fn color_differences(rgb: &[Image]) -> [Image; 2] {
    let plane = |factors: [f64; 3]| {
        let samples = (0..rgb[0].samples.len()).map(|i| {
            let sum: f64 =
                rgb.iter().zip(factors).map(|(channel, factor)| f64::from(channel.samples[i]) * factor).sum();
            (sum + 128.0).round().clamp(0.0, 255.0) as u8
        });
        Image::new(rgb[0].width, rgb[0].height, samples.collect())
    };
    [plane([-0.168_735_9, -0.331_264_1, 0.5]), plane([0.5, -0.418_687_6, -0.081_312_4])]
}
