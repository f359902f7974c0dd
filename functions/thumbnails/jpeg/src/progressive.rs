//! Progressive pictures: scans that bring the coefficients band by band and bit by bit.
//!
//! Only those coefficients are stored that the scale needs, and scans that bring none of them are passed over. A scan
//! that refines coefficients says nothing about those that are still zero, so to read it takes knowing which are not:
//! one bit for each coefficient, in a mask for each block.

use std::ops::Range;

use crate::{
    Error, Header, Planes, Scale,
    decode::{Scans, Strip, mcu_rows},
    huffman::{Code, DcTable},
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
    /// Coefficients that are kept of a block.
    kept: usize,
    /// Which place of those each coefficient has, in zigzag order.
    places: [Option<u8>; 64],
    coefficients: Vec<i16>,
    /// For each block, which coefficients are not zero, those that are not kept included. Empty at an eighth.
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
            (u < points && v < points).then_some(u * points + v)
        });
        let masks = if points == 1 { 0 } else { wide * high };
        let (coefficients, masks) = (vec![0; wide * high * kept], vec![0; masks]);
        Self { wide, kept, places, coefficients, masks, reached: 0, quantisers: None }
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
        let mut walk = AcWalk { scan, code, store, run: 0 };
        return reader.walk(scan, end, interval, &mut walk);
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
    reader.walk(scan, end, interval, &mut DcWalk { scan, codes, stores, predictions: [0; 4] })
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
            source.prepare(&mut bits);
            if self.scan.refine {
                self.refine(source, &mut bits, first + column);
                column += 1;
            } else if self.run > 0 {
                let passed = self.run.min(columns.end - column);
                self.run -= passed;
                column += passed;
                continue;
            } else {
                self.bring(source, &mut bits, first + column);
                column += 1;
            }
            if source.exhausted(&bits) {
                return column - 1 - columns.start;
            }
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
    /// Reads the first bits of a block's band.
    #[inline(always)]
    fn bring(&mut self, source: &Source, bits: &mut Bits, block: usize) {
        let mut mask = self.store.masks[block];
        let mut k = self.scan.first;
        while k <= self.scan.last {
            if bits.count() < 32 {
                bits.refill(source);
            }
            let symbol = self.code.symbol(bits);
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 {
                if zeros < 15 {
                    self.run = (1 << zeros) - 1 + bits.take(zeros) as usize;
                    break;
                }
                k += 16;
                continue;
            }
            let value = bits.value(size);
            k += zeros;
            if k > 63 {
                break;
            }
            mask |= 1 << k;
            if let Some(place) = self.store.places[k as usize] {
                let at = block * self.store.kept + usize::from(place);
                self.store.coefficients[at] = (value << self.scan.bit) as i16;
            }
            k += 1;
        }
        self.store.masks[block] = mask;
    }

    /// Reads the next bit of a block's band: of each coefficient that is not zero, and which ones no longer are.
    #[inline(always)]
    fn refine(&mut self, source: &Source, bits: &mut Bits, block: usize) {
        let known = self.store.masks[block];
        let mut k = self.scan.first;
        if self.run == 0 {
            while k <= self.scan.last {
                bits.refill(source);
                let symbol = self.code.symbol(bits);
                let (zeros, size) = (symbol >> 4, symbol & 15);
                if size == 0 && zeros < 15 {
                    self.run = (1 << zeros) + bits.take(zeros) as usize;
                    break;
                }
                let negative = size != 0 && bits.take(1) == 0;
                let at = self.correct(source, bits, block, known, k, zeros);
                if size != 0 && at <= self.scan.last {
                    self.store.masks[block] |= 1 << at;
                    if let Some(place) = self.store.places[at as usize] {
                        let value = if negative { -1 } else { 1 } << self.scan.bit;
                        self.store.coefficients[block * self.store.kept + usize::from(place)] = value;
                    }
                }
                k = at + 1;
            }
        }
        if self.run > 0 {
            self.correct(source, bits, block, known, k, 64);
            self.run -= 1;
        }
    }

    /// Corrects the coefficients that are not zero, from `k` on, up to the one behind so many that are. Returns where
    /// that is.
    #[inline(always)]
    fn correct(&mut self, source: &Source, bits: &mut Bits, block: usize, known: u64, k: u32, zeros: u32) -> u32 {
        let mut left = zeros;
        for k in k..=self.scan.last {
            if known >> k & 1 == 0 {
                if left == 0 {
                    return k;
                }
                left -= 1;
                continue;
            }
            if bits.count() < 1 {
                bits.refill(source);
            }
            if bits.take(1) == 1
                && let Some(place) = self.store.places[k as usize]
            {
                let coefficient = &mut self.store.coefficients[block * self.store.kept + usize::from(place)];
                *coefficient = coefficient.wrapping_add(coefficient.signum() << self.scan.bit);
            }
        }
        self.scan.last + 1
    }
}

/// Makes the samples.
fn output<const N: usize>(stores: &[Store], scale: Scale, reader: &Reader, planes: &mut Planes) -> Result<(), Error> {
    for (store, plane) in stores.iter().zip(&mut planes.planes) {
        let Some(quantisers) = &store.quantisers else { continue };
        let weights = idct::weights::<N>(quantisers);
        let mut factors = [0.0; 64];
        for (place, weight) in store.places.iter().zip(weights) {
            if let Some(place) = place {
                factors[usize::from(*place)] = weight;
            }
        }
        let mut strip = Strip::new(store.wide, 1, 1, scale);
        // What no scan has reached is grey already.
        for row in mcu_rows(plane, N).take_while(|row| *row < store.reached) {
            if (reader.cancel)() {
                return Err(Error::Cancelled);
            }
            let blocks = store.coefficients[row * store.wide * N * N..].chunks_exact(N * N);
            for (column, coefficients) in blocks.take(store.wide).enumerate() {
                let out = &mut strip.samples[column * N..];
                if coefficients[1..].iter().all(|coefficient| *coefficient == 0) {
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
