//! Product photos that are drawn by code: the same for the same key, on every machine.
//!
//! ```
//! let photo = photos::Photo::of("products/p-0001.jpg");
//! assert_eq!(photo.jpeg(80, 60), photo.jpeg(80, 60));
//! assert_ne!(photo.jpeg(80, 60), photos::Photo::of("products/p-0002.jpg").jpeg(80, 60));
//! ```

use fastrand::Rng;
use jpeg_encoder::{ColorType, Encoder};

/// Something on a table, in front of a wall.
#[derive(Clone, Debug)]
pub struct Photo {
    wall: [f32; 3],
    table: [f32; 3],
    thing: [f32; 3],
    shape: Shape,
    /// Half of its width and height, of a picture that is 1 high.
    half: (f32, f32),
    grain: u32,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Ball,
    Block,
    Diamond,
}

/// Where the table begins, from the top.
const HORIZON: f32 = 0.68;

impl Photo {
    /// The photo of a key.
    pub fn of(key: &str) -> Self {
        // FNV-1a: the same on every machine and in every version.
        let seed = key
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
        let mut rng = Rng::with_seed(seed);
        let mut tone = |low: u8, high: u8| [(); 3].map(|()| f32::from(rng.u8(low..high)));
        let (wall, table, thing) = (tone(170, 250), tone(90, 180), tone(20, 235));
        let shape = [Shape::Ball, Shape::Block, Shape::Diamond][rng.usize(0..3)];
        let half = (0.15 + rng.f32() * 0.15, 0.15 + rng.f32() * 0.15);
        Self { wall, table, thing, shape, half, grain: rng.u32(..) }
    }

    /// Its JPEG at a size.
    pub fn jpeg(&self, width: u16, height: u16) -> Vec<u8> {
        let pixels = self.pixels(width, height);
        let mut bytes = Vec::new();
        // Memory takes everything, and the buffer has the size that it is said to have.
        let _ = Encoder::new(&mut bytes, 88).encode(&pixels, width, height, ColorType::Rgb);
        bytes
    }

    fn pixels(&self, width: u16, height: u16) -> Vec<u8> {
        let (w, h) = (f32::from(width), f32::from(height));
        let rows = 0..height;
        rows.flat_map(|row| {
            let y = (f32::from(row) + 0.5) / h;
            (0..width).flat_map(move |column| {
                let x = (f32::from(column) + 0.5 - w / 2.0) / h;
                let grain =
                    self.grain(u32::from(column) * 8192 / u32::from(width), u32::from(row) * 8192 / u32::from(height));
                self.color(x, y).map(|value| channel(value + grain))
            })
        })
        .collect()
    }

    /// The colour at a place: `x` from the middle, `y` from the top, in heights of the picture.
    fn color(&self, x: f32, y: f32) -> [f32; 3] {
        let (half_width, half_height) = self.half;
        let middle = HORIZON - half_height + 0.06;
        let (across, down) = (x / half_width, (y - middle) / half_height);
        let inside = match self.shape {
            Shape::Ball => across * across + down * down <= 1.0,
            Shape::Block => across.abs() <= 1.0 && down.abs() <= 1.0,
            Shape::Diamond => across.abs() + down.abs() <= 1.0,
        };
        if inside {
            // Light from the upper left.
            let light = 1.12 - 0.22 * (across + down);
            return self.thing.map(|value| value * light);
        }
        if y < HORIZON {
            return self.wall.map(|value| value * (1.0 - 0.25 * x.abs()));
        }
        let (shadow_across, shadow_down) = (x / half_width * 0.8 - 0.15, (y - HORIZON - 0.04) / 0.05);
        let shadow = (1.0 - shadow_across * shadow_across - shadow_down * shadow_down).max(0.0);
        self.table.map(|value| value * (0.8 + 0.5 * (y - HORIZON)) * (1.0 - 0.5 * shadow))
    }

    /// A little noise, as every camera has.
    fn grain(&self, x: u32, y: u32) -> f32 {
        let mixed = (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77) ^ self.grain).wrapping_mul(0xC2B2_AE3D);
        f32::from((mixed >> 24) as u8 % 9) - 4.0
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
fn channel(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as u8
}
