//! The picture's geometry: components, blocks, MCUs.

use crate::{Error, Scale};

/// One component of a picture: its brightness, one of its colour differences, or one of its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// How the file names it.
    pub id: u8,
    /// Horizontal sampling factor, 1 to 4. The component's width is the picture's, times this, divided by the largest
    /// factor of all components.
    pub horizontal: u8,
    /// Vertical sampling factor, 1 to 4.
    pub vertical: u8,
    pub(crate) table: u8,
    /// Size in blocks, without what only fills an MCU up.
    pub(crate) blocks_wide: u32,
    pub(crate) blocks_high: u32,
}

/// What the frame header says.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) progressive: bool,
    pub(crate) components: Vec<Component>,
    /// The largest sampling factors.
    pub(crate) horizontal: u32,
    pub(crate) vertical: u32,
    /// Size in MCUs of a scan with several components.
    pub(crate) mcus_wide: u32,
    pub(crate) mcus_high: u32,
}

impl Frame {
    /// Reads the body of a frame header.
    pub(crate) fn read(body: &[u8], progressive: bool) -> Result<Self, Error> {
        let malformed = Error::Malformed("frame header");
        let [precision, h1, h0, w1, w0, count, specs @ ..] = body else { return Err(malformed) };
        if *precision != 8 {
            return Err(Error::Unsupported("more than 8 bits a sample"));
        }
        let (width, height) = (u32::from(u16::from_be_bytes([*w1, *w0])), u32::from(u16::from_be_bytes([*h1, *h0])));
        if width == 0 {
            return Err(malformed);
        }
        if height == 0 {
            return Err(Error::Unsupported("height that stands behind the first scan"));
        }
        if specs.len() != usize::from(*count) * 3 {
            return Err(malformed);
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::Unsupported("number of components"));
        }
        let mut components = Vec::new();
        for spec in specs.chunks_exact(3) {
            let (horizontal, vertical, table) = (spec[1] >> 4, spec[1] & 15, spec[2]);
            let new = components.iter().all(|other: &Component| other.id != spec[0]);
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) || table > 3 || !new {
                return Err(malformed);
            }
            components.push(Component { id: spec[0], horizontal, vertical, table, blocks_wide: 0, blocks_high: 0 });
        }
        let largest = |factor: fn(&Component) -> u8| u32::from(components.iter().map(factor).max().unwrap_or(1));
        let (horizontal, vertical) = (largest(|c| c.horizontal), largest(|c| c.vertical));
        for component in &mut components {
            let side = |length: u32, factor: u8, most| (length * u32::from(factor)).div_ceil(most).div_ceil(8);
            component.blocks_wide = side(width, component.horizontal, horizontal);
            component.blocks_high = side(height, component.vertical, vertical);
        }
        let (mcus_wide, mcus_high) = (width.div_ceil(8 * horizontal), height.div_ceil(8 * vertical));
        Ok(Self { width, height, progressive, components, horizontal, vertical, mcus_wide, mcus_high })
    }

    /// The picture's size at a scale.
    pub(crate) fn scaled(&self, scale: Scale) -> (u32, u32) {
        let side = |length: u32| (length * scale.points()).div_ceil(8);
        (side(self.width), side(self.height))
    }

    /// A component's size at a scale.
    pub(crate) fn plane(&self, component: &Component, scale: Scale) -> (u32, u32) {
        let side =
            |length: u32, factor: u8, most: u32| (length * u32::from(factor) * scale.points()).div_ceil(most * 8);
        (side(self.width, component.horizontal, self.horizontal), side(self.height, component.vertical, self.vertical))
    }
}
