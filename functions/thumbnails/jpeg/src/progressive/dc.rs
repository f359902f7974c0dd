//! Scans of DC coefficients.

use std::ops::Range;

use super::store::Store;
use crate::{
    huffman::{Code, DcTable},
    scan::{Mcus, Scan},
    source::{Bits, Source},
};

/// Reads the DC coefficients, of one component or of several.
pub(super) struct DcWalk<'t> {
    pub(super) scan: &'t Scan,
    /// For each part of the scan, unless it refines.
    pub(super) codes: Vec<(&'t Code, DcTable)>,
    pub(super) stores: &'t mut [Store],
    pub(super) predictions: [i32; 4],
}

impl Mcus for DcWalk<'_> {
    fn restart(&mut self) {
        self.predictions = [0; 4];
    }

    fn decode(&mut self, source: &mut Source, place: &mut Bits, row: usize, columns: Range<usize>) -> usize {
        let mut bits = *place;
        for (done, column) in columns.clone().enumerate() {
            source.prepare(&mut bits);
            for (i, part) in self.scan.parts().iter().enumerate() {
                let store = &mut self.stores[part.component];
                for y in 0..part.vertical {
                    let first = (row * part.vertical + y) * store.wide + column * part.horizontal;
                    for block in first..first + part.horizontal {
                        bits.refill(source);
                        let coefficient = &mut store.coefficients[block * store.kept];
                        if let Some((code, table)) = self.codes.get(i) {
                            let difference = table.difference(code, &mut bits);
                            self.predictions[i] = self.predictions[i].wrapping_add(difference);
                            *coefficient = (self.predictions[i] << self.scan.bit) as i16;
                        } else {
                            *coefficient |= (bits.take(1) as i16) << self.scan.bit;
                        }
                    }
                }
            }
            if source.exhausted(&bits) {
                return done;
            }
        }
        *place = bits;
        columns.len()
    }

    fn lose(&mut self, _: Range<usize>) {}

    fn finish_row(&mut self, row: usize) {
        for part in self.scan.parts() {
            let store = &mut self.stores[part.component];
            store.reached = store.reached.max((row + 1) * part.vertical);
        }
    }
}
