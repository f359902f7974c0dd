//! What comes out: a plane of samples for each component.

use std::ops::Range;

/// How much smaller than the picture the samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scale {
    /// An eighth of each side: one sample of each block.
    Eighth,
    /// A quarter of each side.
    Quarter,
    /// Half of each side.
    Half,
    /// All there is.
    Full,
}

impl Scale {
    /// Samples on each side of a block.
    pub(crate) const fn points(self) -> u32 {
        match self {
            Self::Eighth => 1,
            Self::Quarter => 2,
            Self::Half => 4,
            Self::Full => 8,
        }
    }

    /// 1, 2, 4 or 8.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        8 / self.points()
    }

    /// The smallest scale for a picture that is to become `shrink` times smaller on each side.
    ///
    /// A tenth more than the result's size is kept for the resampling filter that follows, or its result would be
    /// blurred.
    #[must_use]
    pub fn for_shrink(shrink: f64) -> Self {
        match shrink / 1.1 {
            8.0.. => Self::Eighth,
            4.0.. => Self::Quarter,
            2.0.. => Self::Half,
            _ => Self::Full,
        }
    }
}

/// The decoded rows of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// One plane for each of the header's components, in the same order.
    pub planes: Vec<Plane>,
    /// Width of the whole picture at this scale.
    pub width: u32,
    /// Height of the whole picture at this scale, of which the planes may hold only some rows.
    pub height: u32,
    /// Some of the data were missing or made no sense. What they would have told is grey or wrong.
    pub damaged: bool,
}

/// The samples of one component.
///
/// Rows follow each other without a gap, and hold nothing but samples of the picture: what only fills up a block is
/// left out, so a filter that repeats the last sample at an edge finds the right one.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// `width` times `height` samples.
    pub data: Vec<u8>,
    /// Samples in a row: the component's whole width at this scale.
    pub width: u32,
    /// Rows that are here.
    pub height: u32,
    /// Which of the component's rows at this scale is the first one here.
    pub first_row: u32,
    /// Samples of this plane for each pixel of the picture, horizontally.
    pub scale_x: f64,
    /// The same, vertically. A pixel row `y` of the picture is at `y * scale_y - first_row` here.
    pub scale_y: f64,
}

impl Plane {
    pub(crate) fn rows(&self) -> Range<u32> {
        self.first_row..self.first_row + self.height
    }
}
