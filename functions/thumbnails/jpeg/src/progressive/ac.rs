//! Scans of AC coefficients.

use std::ops::Range;

use super::store::{Store, StoredBlock};
use crate::{
    huffman::{AcTable, Code},
    scan::{Mcus, Scan},
    source::{Bits, Source},
};

/// Reads a band of AC coefficients of one component.
pub(super) struct AcWalk<'t> {
    pub(super) scan: &'t Scan,
    pub(super) code: &'t Code,
    /// For a scan that brings coefficients.
    pub(super) table: Option<AcTable>,
    pub(super) store: &'t mut Store,
    /// Blocks to come that bring nothing new.
    pub(super) run: usize,
}

impl Mcus for AcWalk<'_> {
    fn restart(&mut self) {
        self.run = 0;
    }

    fn decode(&mut self, source: &mut Source, place: &mut Bits, row: usize, columns: Range<usize>) -> usize {
        let mut bits = *place;
        let first = row * self.store.wide;
        let mut column = columns.start;
        while column < columns.end {
            let passed = self.pass(first + column, columns.end - column);
            if passed > 0 {
                column += passed;
                continue;
            }
            source.prepare(&mut bits);
            let block = self.store.block(first + column);
            self.run = match &self.table {
                Some(table) => bring(self.scan, self.code, table, block, source, &mut bits),
                None => refine(self.scan, self.code, block, self.run, source, &mut bits),
            };
            if source.exhausted(&bits) {
                return column - columns.start;
            }
            column += 1;
        }
        *place = bits;
        columns.len()
    }

    fn lose(&mut self, _: Range<usize>) {}

    fn finish_row(&mut self, row: usize) {
        self.store.reached = self.store.reached.max(row + 1);
    }
}

impl AcWalk<'_> {
    /// Passes over blocks for which there is nothing to read, up to `most`. Returns how many.
    #[inline(always)]
    fn pass(&mut self, first: usize, most: usize) -> usize {
        let most = most.min(self.run);
        let passed = if self.table.is_some() || most == 0 {
            most
        } else {
            let band = self.scan.band();
            self.store.masks[first..first + most].iter().take_while(|mask| *mask & band == 0).count()
        };
        self.run -= passed;
        passed
    }
}

/// Reads the first bits of a block's band. Returns how many of the blocks to come have none.
#[inline(always)]
fn bring(scan: &Scan, code: &Code, table: &AcTable, mut block: StoredBlock, source: &Source, bits: &mut Bits) -> usize {
    let mut k = scan.first;
    while k <= scan.last {
        if bits.count() < 32 {
            bits.refill(source);
        }
        let (steps, value) = if let Some(coefficient) = table.short(bits) {
            coefficient
        } else {
            let symbol = code.symbol(bits);
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros < 15 {
                return (1 << zeros) - 1 + bits.take(zeros) as usize;
            }
            (zeros + 1, bits.value(size))
        };
        k += steps;
        if k > 64 {
            break;
        }
        // Sixteen zeros have a value as well, which is zero.
        if value != 0 {
            *block.mask |= 1 << (k - 1);
            if let Some(coefficient) = block.coefficient(k - 1) {
                *coefficient = (value << scan.bit) as i16;
            }
        }
    }
    0
}

/// Reads the next bit of a block's band: of each coefficient that is not zero, and which ones no longer are. `run` is
/// how many blocks bring nothing new, this one included. Returns it for the next block.
#[inline(always)]
fn refine(scan: &Scan, code: &Code, mut block: StoredBlock, run: usize, source: &Source, bits: &mut Bits) -> usize {
    let band = scan.band();
    let (known, mut run) = (*block.mask & band, run);
    // What of the band is still to come.
    let mut rest = band;
    while run == 0 && rest != 0 {
        bits.refill(source);
        let symbol = code.symbol(bits);
        let (zeros, size) = (symbol >> 4, symbol & 15);
        if size == 0 && zeros < 15 {
            run = (1 << zeros) + bits.take(zeros) as usize;
            break;
        }
        let value = if size == 0 { 0 } else { 2 * bits.take(1) as i16 - 1 };
        // Up to the coefficient behind so many that are still zero, corrections come first.
        let mut candidates = rest & !known;
        for _ in 0..zeros {
            candidates &= candidates.wrapping_sub(1);
        }
        let found = candidates & candidates.wrapping_neg();
        let before = found.wrapping_sub(1);
        correct(scan, &mut block, known & rest & before, source, bits);
        rest &= !(before | found);
        if value != 0 && found != 0 {
            *block.mask |= found;
            if let Some(coefficient) = block.coefficient(found.trailing_zeros()) {
                *coefficient = value << scan.bit;
            }
        }
    }
    if run > 0 {
        correct(scan, &mut block, known & rest, source, bits);
        run -= 1;
    }
    run
}

/// Reads a correction for each of these coefficients.
#[inline(always)]
fn correct(scan: &Scan, block: &mut StoredBlock, known: u64, source: &Source, bits: &mut Bits) {
    let mut left = known;
    // Those that are kept come one by one.
    while left & block.used != 0 {
        let k = left.trailing_zeros();
        left &= left - 1;
        if bits.count() == 0 {
            bits.refill(source);
        }
        if bits.take(1) == 1
            && let Some(coefficient) = block.coefficient(k)
        {
            *coefficient = coefficient.wrapping_add(coefficient.signum() << scan.bit);
        }
    }
    // The others at once.
    let mut others = left.count_ones();
    while others > 0 {
        bits.refill(source);
        let some = others.min(56);
        bits.eat(some);
        others -= some;
    }
}
