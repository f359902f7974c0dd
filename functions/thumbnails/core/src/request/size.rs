//! The box of a thumbnail in device pixels, rounded to the sizes that are kept.

/// The largest side of a thumbnail, in pixels.
pub const MAX_OUTPUT_SIDE: u32 = 2048;

/// The largest side that may be asked for; more than [`MAX_OUTPUT_SIDE`] comes smaller.
pub(super) const MAX_REQUESTED_SIDE: u32 = 16_383;

/// The widths that are made, in pixels. Anything else is rounded up, so that a cache keeps a few sizes of a picture and
/// not one for every phone.
pub const WIDTHS: [u32; 27] = [
    16,
    32,
    48,
    64,
    80,
    96,
    128,
    160,
    200,
    240,
    256,
    300,
    320,
    400,
    480,
    512,
    600,
    640,
    750,
    828,
    960,
    1080,
    1200,
    1440,
    1600,
    1920,
    MAX_OUTPUT_SIDE,
];

/// A box. A side that is absent follows from the picture; without both it is the picture's own, up to
/// [`MAX_OUTPUT_SIDE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
}

/// `ratio` is in hundredths of device pixels a pixel. The box keeps its shape: where the width is rounded up, the height
/// grows with it. Whole numbers all the way, so that every language comes to the same result.
pub(super) fn canonical(width: Option<u32>, height: Option<u32>, ratio: u32) -> Size {
    let device = |side: u32| (side * ratio).div_ceil(100);
    match (width.map(device), height.map(device)) {
        (Some(w), Some(h)) => {
            let width = kept(w);
            let height = divide(h * width, w);
            let (width, height) = if height > MAX_OUTPUT_SIDE {
                (divide(width * MAX_OUTPUT_SIDE, height), MAX_OUTPUT_SIDE)
            } else {
                (width, height)
            };
            Size { width: Some(width), height: Some(height) }
        }
        (width, height) => Size { width: width.map(kept), height: height.map(kept) },
    }
}

fn kept(side: u32) -> u32 {
    WIDTHS.into_iter().find(|width| *width >= side).unwrap_or(MAX_OUTPUT_SIDE)
}

/// Rounded to the nearest, and never 0.
fn divide(dividend: u32, divisor: u32) -> u32 {
    ((dividend + divisor / 2) / divisor).max(1)
}
