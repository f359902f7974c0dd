//! Baseline and extended sequential pictures: each scan brings all of its components.

use std::ops::Range;

use crate::{
    Error, Header, Planes, Scale,
    decode::{Scans, Strip, mcu_rows},
    huffman::{AcTable, Code, DcTable, SkipTable},
    idct::{self, PLACE},
    scan::{Mcus, Part, Reader, Scan},
    segments::Tables,
    source::{Bits, Source},
};

pub(crate) fn decode(header: &Header, scale: Scale, reader: &mut Reader, planes: &mut Planes) -> Result<(), Error> {
    let mut scans = Scans::new(header);
    let mut missing: Vec<bool> = vec![true; planes.planes.len()];
    while missing.contains(&true) {
        let scan = match scans.next() {
            Ok(Some(scan)) => scan,
            Ok(None) | Err(Error::Truncated) => break,
            Err(error) => return Err(error),
        };
        // A repeated component would only cost time.
        if scan.parts().iter().any(|part| missing[part.component]) {
            planes.damaged |= !decode_scan(header, &scan, &scans.tables, scale, reader, planes)?;
            scans.go_on_at(reader.source.next());
            for part in scan.parts() {
                missing[part.component] = false;
            }
        }
    }
    planes.damaged |= missing.contains(&true);
    Ok(())
}

/// Decodes the rows of MCUs that cover the planes. Returns whether nothing was lost.
fn decode_scan(
    header: &Header,
    scan: &Scan,
    tables: &Tables,
    scale: Scale,
    reader: &mut Reader,
    planes: &mut Planes,
) -> Result<bool, Error> {
    let decoders = Decoders::new(scan, tables, scale)?;
    let (mut first, mut end) = (usize::MAX, 0);
    let mut coded = Vec::new();
    for part in scan.parts() {
        let strip = Strip::new(scan.wide, part.horizontal, part.vertical, scale);
        let wanted = mcu_rows(&planes.planes[part.component], strip.height);
        (first, end) = (first.min(wanted.start), end.max(wanted.end));
        let quantisers = tables.quantisers(&header.frame.components[part.component])?;
        coded.push(Coded::new(part, strip, quantisers, scale));
    }
    let mut units = Vec::new();
    for (i, part) in scan.parts().iter().enumerate() {
        for block in 0..part.vertical * part.horizontal {
            let (row, column) = (block / part.horizontal, block % part.horizontal);
            units.push(decoders.unit(i, part, row, column)?);
        }
    }
    let interval = tables.restart_interval;
    match scale {
        Scale::Eighth => reader.walk(scan, first..end, interval, &mut Walk::<1> { units, coded, first, planes }),
        Scale::Quarter => reader.walk(scan, first..end, interval, &mut Walk::<2> { units, coded, first, planes }),
        Scale::Half => reader.walk(scan, first..end, interval, &mut Walk::<4> { units, coded, first, planes }),
        Scale::Full => reader.walk(scan, first..end, interval, &mut Walk::<8> { units, coded, first, planes }),
    }
}

/// The tables that a scan decodes with, each made once.
struct Decoders<'t> {
    dc: [Option<(&'t Code, DcTable)>; 4],
    ac: [Option<(&'t Code, SkipTable, Option<AcTable>)>; 4],
}

impl<'t> Decoders<'t> {
    fn new(scan: &Scan, tables: &'t Tables, scale: Scale) -> Result<Self, Error> {
        let missing = Error::Malformed("missing Huffman table");
        let mut decoders = Self { dc: [const { None }; 4], ac: [const { None }; 4] };
        for part in scan.parts() {
            if decoders.dc[part.dc].is_none() {
                let code = tables.dc[part.dc].as_ref().ok_or(missing)?;
                decoders.dc[part.dc] = Some((code, DcTable::new(code)));
            }
            if decoders.ac[part.ac].is_none() {
                let code = tables.ac[part.ac].as_ref().ok_or(missing)?;
                let values = (scale != Scale::Eighth).then(|| AcTable::new(code));
                decoders.ac[part.ac] = Some((code, SkipTable::new(code), values));
            }
        }
        Ok(decoders)
    }

    fn unit(&self, index: usize, part: &Part, row: usize, column: usize) -> Result<Unit<'_>, Error> {
        let missing = Error::Malformed("missing Huffman table");
        let (dc_code, dc) = self.dc[part.dc].as_ref().ok_or(missing)?;
        let (ac_code, skip, ac) = self.ac[part.ac].as_ref().ok_or(missing)?;
        Ok(Unit { part: index, row, column, dc_code, dc, ac_code, skip, ac: ac.as_ref() })
    }
}

/// One block of an MCU.
struct Unit<'t> {
    part: usize,
    /// Where it stands among the part's blocks in the MCU.
    row: usize,
    column: usize,
    dc_code: &'t Code,
    dc: &'t DcTable,
    ac_code: &'t Code,
    skip: &'t SkipTable,
    ac: Option<&'t AcTable>,
}

/// A component as the scan goes on.
struct Coded {
    component: usize,
    /// Blocks in an MCU, from left to right.
    horizontal: usize,
    prediction: i32,
    quantiser: i32,
    weights: [f32; 64],
    strip: Strip,
}

impl Coded {
    fn new(part: &Part, strip: Strip, quantisers: &[u16; 64], scale: Scale) -> Self {
        let weights = match scale {
            Scale::Eighth | Scale::Quarter => idct::weights::<2>(quantisers),
            Scale::Half => idct::weights::<4>(quantisers),
            Scale::Full => idct::weights::<8>(quantisers),
        };
        let (component, horizontal) = (part.component, part.horizontal);
        Self { component, horizontal, prediction: 0, quantiser: quantisers[0].into(), weights, strip }
    }
}

/// Decodes MCUs to N x N samples for each block.
struct Walk<'t, const N: usize> {
    units: Vec<Unit<'t>>,
    coded: Vec<Coded>,
    /// The first row of MCUs that is wanted.
    first: usize,
    planes: &'t mut Planes,
}

impl<const N: usize> Mcus for Walk<'_, N> {
    fn restart(&mut self) {
        for coded in &mut self.coded {
            coded.prediction = 0;
        }
    }

    fn decode(&mut self, source: &mut Source, bits: &mut Bits, row: usize, columns: Range<usize>) -> usize {
        // Above the wanted rows the bits are only passed over, as for one sample a block.
        if N == 1 || row < self.first {
            self.blocks::<true>(source, bits, columns)
        } else {
            self.blocks::<false>(source, bits, columns)
        }
    }

    fn lose(&mut self, columns: Range<usize>) {
        for coded in &mut self.coded {
            coded.strip.clear(&columns);
        }
    }

    fn finish_row(&mut self, row: usize) {
        for coded in &self.coded {
            coded.strip.copy_to(&mut self.planes.planes[coded.component], row);
        }
    }
}

impl<const N: usize> Walk<'_, N> {
    /// Decodes blocks to N x N samples, or with `PASS` only as far as the next ones need it. One sample needs no more.
    fn blocks<const PASS: bool>(&mut self, source: &mut Source, place: &mut Bits, columns: Range<usize>) -> usize {
        let mut bits = *place;
        for (done, column) in columns.clone().enumerate() {
            source.prepare(&mut bits);
            for unit in &self.units {
                let coded = &mut self.coded[unit.part];
                bits.refill(source);
                let difference = unit.dc.difference(unit.dc_code, &mut bits);
                coded.prediction = coded.prediction.wrapping_add(difference);
                let stride = coded.strip.stride;
                let at = unit.row * N * stride + (column * coded.horizontal + unit.column) * N;
                if PASS {
                    unit.skip.skip(unit.ac_code, &mut bits, source, 0);
                    if N == 1 {
                        coded.strip.samples[at] = idct::flat(coded.prediction, coded.quantiser);
                    }
                    continue;
                }
                let mut block = [0.0; 64];
                let last = unit.coefficients::<N>(&coded.weights, &mut bits, source, &mut block);
                let out = &mut coded.strip.samples[at..];
                if last == 0 {
                    let sample = idct::flat(coded.prediction, coded.quantiser);
                    out.chunks_mut(stride).take(N).for_each(|row| row[..N].fill(sample));
                } else {
                    block[0] = coded.prediction as f32 * coded.weights[0];
                    idct::transform::<N>(&block, out, stride);
                }
            }
            if source.exhausted(&bits) {
                return done;
            }
        }
        *place = bits;
        columns.len()
    }
}

/// The last coefficient, in zigzag order, that a transform to N x N samples takes.
const fn last_used(n: usize) -> u32 {
    match n {
        2 => 4,
        4 => 24,
        _ => 63,
    }
}

impl Unit<'_> {
    /// Reads the AC coefficients that N x N samples need, and passes over the others. Returns the place of the last one
    /// read, 0 if there was none.
    #[inline(always)]
    fn coefficients<const N: usize>(
        &self,
        weights: &[f32; 64],
        bits: &mut Bits,
        source: &Source,
        block: &mut idct::Block,
    ) -> u32 {
        let Some(table) = self.ac else { return 0 };
        let (mut k, mut last) = (0, 0);
        while k < last_used(N) {
            if bits.count() < 32 {
                bits.refill(source);
            }
            let (steps, value) = table.coefficient(self.ac_code, bits);
            k += steps;
            if k > 63 {
                return last;
            }
            last = k;
            block[usize::from(PLACE[k as usize])] = value as f32 * weights[k as usize];
        }
        if k < 63 {
            self.skip.skip(self.ac_code, bits, source, k);
        }
        last
    }
}
