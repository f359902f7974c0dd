//! Progressive pictures: scans that bring the coefficients band by band and bit by bit.
//!
//! Only those coefficients are stored that the scale needs, and scans that bring none of them are passed over. A scan
//! that refines coefficients says nothing about those that are still zero, so to read it takes knowing which are not:
//! one bit for each coefficient, in a mask for each block.

mod ac;
mod dc;
mod store;

use ac::AcWalk;
use dc::DcWalk;
pub(crate) use store::bytes_of_block;
use store::{Store, used};

use crate::{
    Error, Header, Planes, Scale,
    decode::{Scans, Strip, mcu_rows},
    huffman::{AcTable, DcTable},
    idct,
    scan::{Reader, Scan},
    segments::Tables,
};

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
