//! The coefficients that are kept between scans.

use crate::{Scale, idct::PLACE};

/// Memory for the coefficients of a block.
pub(crate) fn bytes_of_block(scale: Scale) -> usize {
    let points = scale.points() as usize;
    let mask = if scale == Scale::Eighth { 0 } else { size_of::<u64>() };
    points * points * size_of::<i16>() + mask
}

/// The coefficients that a scale needs, as bits in zigzag order.
pub(super) fn used(scale: Scale) -> u64 {
    let points = scale.points() as u8;
    let used = (0..64).filter(|k| PLACE[*k] / 8 < points && PLACE[*k] % 8 < points);
    used.fold(0, |mask, k| mask | 1 << k)
}

/// The coefficients of a component.
pub(super) struct Store {
    /// Blocks in a row.
    pub(super) wide: usize,
    /// Which coefficients are kept of a block, as bits in zigzag order, and how many these are.
    pub(super) used: u64,
    pub(super) kept: usize,
    /// For each coefficient in zigzag order its place among those, or one behind them.
    pub(super) places: [u8; 64],
    pub(super) coefficients: Vec<i16>,
    /// For each block, which AC coefficients are not zero, those that are not kept included. Empty at an eighth.
    pub(super) masks: Vec<u64>,
    /// Rows of blocks that any scan has reached.
    pub(super) reached: usize,
    pub(super) quantisers: Option<[u16; 64]>,
}

impl Store {
    pub(super) fn new(wide: usize, high: usize, scale: Scale) -> Self {
        let points = scale.points() as u8;
        let kept = usize::from(points * points);
        let places = PLACE.map(|place| {
            let (u, v) = (place / 8, place % 8);
            if u < points && v < points { u * points + v } else { points * points }
        });
        let masks = if points == 1 { 0 } else { wide * high };
        let (coefficients, masks) = (vec![0; wide * high * kept], vec![0; masks]);
        Self { wide, used: used(scale), kept, places, coefficients, masks, reached: 0, quantisers: None }
    }

    #[inline(always)]
    pub(super) fn block(&mut self, block: usize) -> StoredBlock<'_> {
        StoredBlock {
            mask: &mut self.masks[block],
            coefficients: &mut self.coefficients[block * self.kept..][..self.kept],
            used: self.used,
            places: &self.places,
        }
    }
}

/// What a store holds of one block.
pub(super) struct StoredBlock<'t> {
    pub(super) mask: &'t mut u64,
    coefficients: &'t mut [i16],
    pub(super) used: u64,
    places: &'t [u8; 64],
}

impl StoredBlock<'_> {
    /// The coefficient at a place of the zigzag order, if it is kept.
    #[inline(always)]
    pub(super) fn coefficient(&mut self, k: u32) -> Option<&mut i16> {
        self.coefficients.get_mut(usize::from(self.places[k as usize & 63]))
    }
}
