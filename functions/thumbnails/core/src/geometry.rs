//! Boxes: which part of the source goes where.

use crate::{
    orientation::Orientation,
    request::{Fit, MAX_OUTPUT_SIDE, Transform},
};

/// A part of a picture, in fractions of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    /// Whether it is the whole of a picture with these sides.
    pub(crate) fn is_whole(self, (width, height): (u32, u32)) -> bool {
        self == Self { left: 0.0, top: 0.0, width: width.into(), height: height.into() }
    }

    /// The same part of a picture that is scaled by these factors.
    pub(crate) fn scaled(self, x: f64, y: f64) -> Self {
        Self { left: self.left * x, top: self.top * y, width: self.width * x, height: self.height * y }
    }
}

/// What to take from the source and what to make of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The part of the source that is seen, as stored: before it is turned upright.
    pub(crate) area: Area,
    /// The size that the part is resized to, as stored.
    pub(crate) resized: (u32, u32),
    /// The size of the thumbnail, upright. Larger than `resized` only where it is padded.
    pub(crate) canvas: (u32, u32),
    /// How to turn it upright.
    pub(crate) orientation: Orientation,
}

impl Plan {
    /// `width` and `height` are those of the source as stored.
    pub(crate) fn new(transform: &Transform, width: u32, height: u32, orientation: Orientation) -> Self {
        let upright = orientation.turned((width, height));
        let (inner, canvas, share) = fit(transform, upright);
        let stored = orientation.turned(share);
        // Everything is centred, so the part lies in the middle whichever way the picture is turned.
        let (part_width, part_height) = (f64::from(width) * stored.0, f64::from(height) * stored.1);
        let area = Area {
            left: (f64::from(width) - part_width) / 2.0,
            top: (f64::from(height) - part_height) / 2.0,
            width: part_width,
            height: part_height,
        };
        Self { area, resized: orientation.turned(inner), canvas, orientation }
    }

    /// How many source pixels there are for one of the thumbnail, on the side where there are fewer.
    pub(crate) fn shrink(&self) -> f64 {
        let (width, height) = self.resized;
        (self.area.width / f64::from(width)).min(self.area.height / f64::from(height))
    }
}

/// The size of the resized picture, the size of the canvas, and the share of each side that is seen. Nothing is ever
/// enlarged.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // every value is clamped to 1..=2048
fn fit(transform: &Transform, (width, height): (u32, u32)) -> ((u32, u32), (u32, u32), (f64, f64)) {
    let (w, h) = (f64::from(width), f64::from(height));
    let whole = |side: f64| (side.round() as u32).clamp(1, MAX_OUTPUT_SIDE);
    let max = f64::from(MAX_OUTPUT_SIDE);
    let size = transform.size;
    let within = |box_width: f64, box_height: f64| {
        let scale = (box_width / w).min(box_height / h).min(1.0);
        (whole(w * scale), whole(h * scale))
    };
    let (Some(box_width), Some(box_height)) = (size.width, size.height) else {
        let inner = within(size.width.map_or(max, f64::from), size.height.map_or(max, f64::from));
        return (inner, inner, (1.0, 1.0));
    };
    let (bw, bh) = (f64::from(box_width), f64::from(box_height));
    match transform.fit {
        Fit::Inside => {
            let inner = within(bw, bh);
            (inner, inner, (1.0, 1.0))
        }
        Fit::Contain => (within(bw, bh), (box_width, box_height), (1.0, 1.0)),
        Fit::Fill => {
            let inner = (whole(bw.min(w)), whole(bh.min(h)));
            (inner, inner, (1.0, 1.0))
        }
        Fit::Cover => {
            // The largest part of the box's shape; a box larger than that comes as large as the part.
            let scale = (bw / w).max(bh / h);
            let (part_width, part_height) = (bw / scale, bh / scale);
            let reduce = scale.min(1.0);
            let inner = (whole(part_width * reduce), whole(part_height * reduce));
            (inner, inner, (part_width / w, part_height / h))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Format, Size};

    fn plan(query: (Option<u32>, Option<u32>, Fit), source: (u32, u32), orientation: u32) -> Plan {
        let size = Size { width: query.0, height: query.1 };
        let transform = Transform { size, fit: query.2, format: Format::WebP, quality: 80 };
        Plan::new(&transform, source.0, source.1, Orientation::from_exif(orientation))
    }

    #[test]
    fn each_fit_has_its_size_and_its_part() {
        let area = |left, top, width, height| Area { left, top, width, height };
        let whole = area(0.0, 0.0, 4000.0, 3000.0);
        let cases = [
            ((Some(300), Some(300), Fit::Cover), (300, 300), (300, 300), area(500.0, 0.0, 3000.0, 3000.0)),
            ((Some(300), Some(300), Fit::Contain), (300, 225), (300, 300), whole),
            ((Some(300), Some(300), Fit::Fill), (300, 300), (300, 300), whole),
            ((Some(300), Some(300), Fit::Inside), (300, 225), (300, 225), whole),
            ((Some(400), None, Fit::Cover), (400, 300), (400, 300), whole),
            ((None, Some(300), Fit::Cover), (400, 300), (400, 300), whole),
            ((None, None, Fit::Cover), (2048, 1536), (2048, 1536), whole),
        ];
        for (query, resized, canvas, area) in cases {
            let plan = plan(query, (4000, 3000), 1);
            assert_eq!((plan.resized, plan.canvas, plan.area), (resized, canvas, area), "{query:?}");
        }
    }

    #[test]
    fn nothing_is_enlarged() {
        let cases = [
            ((Some(300), Some(300), Fit::Cover), (75, 75), (75, 75)),
            ((Some(300), Some(300), Fit::Contain), (100, 75), (300, 300)),
            ((Some(300), Some(300), Fit::Fill), (100, 75), (100, 75)),
            ((Some(300), Some(300), Fit::Inside), (100, 75), (100, 75)),
            ((Some(300), None, Fit::Cover), (100, 75), (100, 75)),
            ((Some(50), Some(300), Fit::Cover), (13, 75), (13, 75)),
        ];
        for (query, resized, canvas) in cases {
            let plan = plan(query, (100, 75), 1);
            assert_eq!((plan.resized, plan.canvas), (resized, canvas), "{query:?}");
        }
    }

    #[test]
    fn a_turned_picture_is_planned_upright_and_cut_as_stored() {
        let plan = plan((Some(300), Some(600), Fit::Cover), (4000, 3000), 6);
        assert_eq!((plan.resized, plan.canvas), ((600, 300), (300, 600)));
        assert_eq!(plan.area, Area { left: 0.0, top: 500.0, width: 4000.0, height: 2000.0 });
    }

    #[test]
    fn a_line_keeps_a_pixel() {
        assert_eq!(plan((Some(16), None, Fit::Cover), (16_383, 1), 1).resized, (16, 1));
    }
}
