//! Progressive pictures: scans that bring the coefficients band by band and bit by bit.
//!
//! Only those coefficients are stored that the scale needs, and scans that bring none of them are passed over. A scan
//! that refines coefficients says nothing about those that are still zero, so to read it takes knowing which are not:
//! one bit for each coefficient, in a mask for each block.

use std::ops::Range;

use crate::{
    Error, Header, Planes, Scale,
    decode::{Scans, Strip, mcu_rows},
    huffman::{AcTable, Code, DcTable},
    idct::{self, PLACE},
    scan::{Mcus, Reader, Scan},
    segments::Tables,
    source::{Bits, Source},
};

/// Memory for the coefficients of a block.
pub(crate) fn bytes_of_block(scale: Scale) -> usize {
    let points = scale.points() as usize;
    let mask = if scale == Scale::Eighth { 0 } else { size_of::<u64>() };
    points * points * size_of::<i16>() + mask
}

pub(crate) fn decode(header: &Header, scale: Scale, reader: &mut Reader, planes: &mut Planes) -> Result<(), Error> {
    let plan = Plan::new(header, scale)?;
    planes.damaged |= !plan.whole;
    let mut stores = Vec::new();
    for (component, plane) in header.frame.components.iter().zip(&planes.planes) {
        let vertical = usize::from(component.vertical);
        let rows = mcu_rows(plane, vertical * scale.points() as usize);
        let wide = header.frame.mcus_wide as usize * usize::from(component.horizontal);
        stores.push(Store::new(wide, rows.end * vertical, scale));
    }
    let mut scans = Scans::new(header);
    for planned in &plan.scans {
        let Some(scan) = scans.next()? else { break };
        for part in scan.parts() {
            let store = &mut stores[part.component];
            if store.quantisers.is_none() {
                let component = &header.frame.components[part.component];
                store.quantisers = Some(*scans.tables.quantisers(component)?);
            }
        }
        if planned.wanted {
            planes.damaged |= !decode_scan(&scan, &scans.tables, reader, &mut stores)?;
            scans.go_on_at(reader.source.next());
        } else {
            if (reader.cancel)() {
                return Err(Error::Cancelled);
            }
            scans.go_on_at(planned.end);
        }
    }
    planes.damaged |= stores.iter().any(|store| store.quantisers.is_none());
    match scale {
        Scale::Eighth => output::<1>(&stores, scale, reader, planes),
        Scale::Quarter => output::<2>(&stores, scale, reader, planes),
        Scale::Half => output::<4>(&stores, scale, reader, planes),
        Scale::Full => output::<8>(&stores, scale, reader, planes),
    }
}

/// Which scans to read.
struct Plan {
    scans: Vec<Planned>,
    /// All scans were found and follow each other as they should.
    whole: bool,
}

struct Planned {
    wanted: bool,
    /// Where its data end.
    end: usize,
}

impl Plan {
    /// Looks at all the headers of scans.
    fn new(header: &Header, scale: Scale) -> Result<Self, Error> {
        let mut scans = Scans::new(header);
        let mut found = Vec::new();
        let mut whole = true;
        // The lowest bit known of each coefficient.
        let mut known = vec![[None; 64]; header.frame.components.len()];
        loop {
            let scan = match scans.next() {
                Ok(Some(scan)) => scan,
                Ok(None) => break,
                Err(Error::Truncated) => {
                    whole = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            let expected = scan.refine.then_some(scan.bit + 1);
            let mut follows = true;
            for part in scan.parts() {
                let band = &mut known[part.component][scan.first as usize..=scan.last as usize];
                follows &= band.iter().all(|bit| *bit == expected);
                band.fill(Some(scan.bit));
            }
            whole &= follows;
            let end = scans.skip(&scan);
            found.push((scan, Planned { wanted: follows, end }));
        }
        whole &= known.iter().all(|bits| bits[0].is_some());

        // From the last scan to the first: one that refines needs all that came before it in its band.
        let mut needed = vec![used(scale); known.len()];
        for (scan, planned) in found.iter_mut().rev() {
            let parts = scan.parts();
            planned.wanted &= parts.iter().any(|part| scan.band() & needed[part.component] != 0);
            if planned.wanted && scan.refine && scan.first > 0 {
                needed[parts[0].component] |= scan.band();
            }
        }
        Ok(Self { scans: found.into_iter().map(|(_, planned)| planned).collect(), whole })
    }
}

/// The coefficients that a scale needs, as bits in zigzag order.
fn used(scale: Scale) -> u64 {
    let points = scale.points() as u8;
    let used = (0..64).filter(|k| PLACE[*k] / 8 < points && PLACE[*k] % 8 < points);
    used.fold(0, |mask, k| mask | 1 << k)
}

/// The coefficients of a component.
struct Store {
    /// Blocks in a row.
    wide: usize,
    /// Which coefficients are kept of a block, as bits in zigzag order, and how many these are.
    used: u64,
    kept: usize,
    /// For each coefficient in zigzag order its place among those, or one behind them.
    places: [u8; 64],
    coefficients: Vec<i16>,
    /// For each block, which AC coefficients are not zero, those that are not kept included. Empty at an eighth.
    masks: Vec<u64>,
    /// Rows of blocks that any scan has reached.
    reached: usize,
    quantisers: Option<[u16; 64]>,
}

impl Store {
    fn new(wide: usize, high: usize, scale: Scale) -> Self {
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
    fn block(&mut self, block: usize) -> StoredBlock<'_> {
        StoredBlock {
            mask: &mut self.masks[block],
            coefficients: &mut self.coefficients[block * self.kept..][..self.kept],
            used: self.used,
            places: &self.places,
        }
    }
}

/// What a store holds of one block.
struct StoredBlock<'t> {
    mask: &'t mut u64,
    coefficients: &'t mut [i16],
    used: u64,
    places: &'t [u8; 64],
}

impl StoredBlock<'_> {
    /// The coefficient at a place of the zigzag order, if it is kept.
    #[inline(always)]
    fn coefficient(&mut self, k: u32) -> Option<&mut i16> {
        self.coefficients.get_mut(usize::from(self.places[k as usize & 63]))
    }
}

/// Reads a scan into the stores. Returns whether nothing was lost.
fn decode_scan(scan: &Scan, tables: &Tables, reader: &mut Reader, stores: &mut [Store]) -> Result<bool, Error> {
    let missing = Error::Malformed("missing Huffman table");
    let interval = tables.restart_interval;
    if scan.first > 0 {
        let part = scan.parts()[0];
        let code = tables.ac[part.ac].as_ref().ok_or(missing)?;
        let store = &mut stores[part.component];
        let end = store.masks.len() / store.wide;
        let table = (!scan.refine).then(|| AcTable::new(code));
        let mut walk = AcWalk { scan, code, table, store, run: 0 };
        return reader.walk(scan, 0..end, interval, &mut walk);
    }
    let mut codes = Vec::new();
    let mut end = 0;
    for part in scan.parts() {
        let store = &stores[part.component];
        end = end.max(store.coefficients.len() / store.kept / store.wide / part.vertical);
        if !scan.refine {
            let code = tables.dc[part.dc].as_ref().ok_or(missing)?;
            codes.push((code, DcTable::new(code)));
        }
    }
    reader.walk(scan, 0..end, interval, &mut DcWalk { scan, codes, stores, predictions: [0; 4] })
}

/// Reads the DC coefficients, of one component or of several.
struct DcWalk<'t> {
    scan: &'t Scan,
    /// For each part of the scan, unless it refines.
    codes: Vec<(&'t Code, DcTable)>,
    stores: &'t mut [Store],
    predictions: [i32; 4],
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

/// Reads a band of AC coefficients of one component.
struct AcWalk<'t> {
    scan: &'t Scan,
    code: &'t Code,
    /// For a scan that brings coefficients.
    table: Option<AcTable>,
    store: &'t mut Store,
    /// Blocks to come that bring nothing new.
    run: usize,
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

/// Makes the samples.
fn output<const N: usize>(stores: &[Store], scale: Scale, reader: &Reader, planes: &mut Planes) -> Result<(), Error> {
    for (store, plane) in stores.iter().zip(&mut planes.planes) {
        let Some(quantisers) = &store.quantisers else { continue };
        let weights = idct::weights::<N>(quantisers);
        let mut factors = [0.0; 64];
        for (place, weight) in store.places.iter().zip(weights) {
            if let Some(factor) = factors.get_mut(usize::from(*place)) {
                *factor = weight;
            }
        }
        let mut strip = Strip::new(store.wide, 1, 1, scale);
        // What no scan has reached is grey already.
        for row in mcu_rows(plane, N).take_while(|row| *row < store.reached) {
            if (reader.cancel)() {
                return Err(Error::Cancelled);
            }
            let first = row * store.wide;
            let blocks = store.coefficients[first * N * N..].chunks_exact(N * N);
            for (column, coefficients) in blocks.take(store.wide).enumerate() {
                let out = &mut strip.samples[column * N..];
                let mask = store.masks.get(first + column).unwrap_or(&0);
                if mask & store.used == 0 {
                    let sample = idct::flat(coefficients[0].into(), quantisers[0].into());
                    out.chunks_mut(strip.stride).for_each(|row| row[..N].fill(sample));
                } else {
                    let mut block = [0.0; 64];
                    for (u, column) in coefficients.chunks_exact(N).enumerate() {
                        for (v, coefficient) in column.iter().enumerate() {
                            block[u * 8 + v] = f32::from(*coefficient) * factors[u * N + v];
                        }
                    }
                    idct::transform::<N>(&block, out, strip.stride);
                }
            }
            strip.copy_to(plane, row);
        }
    }
    Ok(())
}
