//! Scans: what their headers say, and the walk over their MCUs.

use std::ops::Range;

use crate::{
    Error,
    frame::Frame,
    segments::{Segment, marker},
    source::{Bits, Source, find_marker},
};

/// One component's part in a scan.
#[derive(Clone, Copy, Default)]
pub(crate) struct Part {
    /// Its place among the frame's components.
    pub(crate) component: usize,
    /// Slots of its Huffman tables.
    pub(crate) dc: usize,
    pub(crate) ac: usize,
    /// Its blocks in an MCU.
    pub(crate) horizontal: usize,
    pub(crate) vertical: usize,
}

/// A scan's header.
#[derive(Clone)]
pub(crate) struct Scan {
    parts: [Part; 4],
    count: usize,
    /// The coefficients that it brings, in zigzag order.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Whether it refines what an earlier scan has brought.
    pub(crate) refine: bool,
    /// The bit that it brings, or the lowest of those.
    pub(crate) bit: u32,
    /// Size in MCUs.
    pub(crate) wide: usize,
    pub(crate) high: usize,
    /// First byte of its data.
    pub(crate) start: usize,
}

impl Scan {
    pub(crate) fn read(segment: &Segment, data: &[u8], frame: &Frame) -> Result<Self, Error> {
        let malformed = Error::Malformed("scan header");
        let (count, rest) = data[segment.body.clone()].split_first().ok_or(malformed)?;
        let count = usize::from(*count);
        let (specs, [first, last, approximation]) = rest.split_at_checked(count * 2).ok_or(malformed)? else {
            return Err(malformed);
        };
        if !(1..=frame.components.len()).contains(&count) {
            return Err(malformed);
        }
        let mut parts = [Part::default(); 4];
        for (i, spec) in specs.chunks_exact(2).enumerate() {
            let component = frame.components.iter().position(|component| component.id == spec[0]).ok_or(malformed)?;
            let (dc, ac) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            if dc > 3 || ac > 3 || parts[..i].iter().any(|part| part.component == component) {
                return Err(malformed);
            }
            let sampling = &frame.components[component];
            let (horizontal, vertical) =
                if count == 1 { (1, 1) } else { (sampling.horizontal.into(), sampling.vertical.into()) };
            parts[i] = Part { component, dc, ac, horizontal, vertical };
        }
        let blocks: usize = parts[..count].iter().map(|part| part.horizontal * part.vertical).sum();
        if blocks > 10 {
            return Err(Error::Malformed("blocks in an MCU"));
        }
        let (wide, high) = if count == 1 {
            let component = &frame.components[parts[0].component];
            (component.blocks_wide, component.blocks_high)
        } else {
            (frame.mcus_wide, frame.mcus_high)
        };
        let scan = Self {
            parts,
            count,
            first: (*first).into(),
            last: (*last).into(),
            refine: approximation >> 4 != 0,
            bit: (approximation & 15).into(),
            wide: wide as usize,
            high: high as usize,
            start: segment.body.end,
        };
        let progression_holds = scan.bit <= 13
            && (!scan.refine || u32::from(approximation >> 4) == scan.bit + 1)
            && if scan.first == 0 { scan.last == 0 } else { count == 1 && (scan.first..64).contains(&scan.last) };
        if frame.progressive && !progression_holds {
            return Err(Error::Malformed("progression"));
        }
        Ok(scan)
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    /// The coefficients that it brings, as bits.
    pub(crate) fn band(&self) -> u64 {
        (u64::MAX << self.first) & (u64::MAX >> (63 - self.last))
    }
}

/// What the walk over a scan does with the MCUs.
pub(crate) trait Mcus {
    /// The coding starts anew.
    fn restart(&mut self);

    /// Decodes MCUs of a row, and says how many before the data ended.
    fn decode(&mut self, source: &mut Source, bits: &mut Bits, row: usize, columns: Range<usize>) -> usize;

    /// These MCUs are lost.
    fn lose(&mut self, columns: Range<usize>);

    /// All MCUs of a row have been decoded or lost, but not all were lost.
    fn finish_row(&mut self, row: usize);
}

/// What all scans are read with.
pub(crate) struct Reader<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) source: Source<'a>,
    pub(crate) cancel: &'a dyn Fn() -> bool,
    /// Whether anything has been decoded so far.
    pub(crate) started: bool,
}

impl Reader<'_> {
    /// Walks over a scan's MCUs down to the end of `rows`. Those above `rows` are left out as far as restart markers
    /// lead past them. Returns whether nothing was lost on the way.
    pub(crate) fn walk(
        &mut self,
        scan: &Scan,
        rows: Range<usize>,
        interval: u32,
        mcus: &mut impl Mcus,
    ) -> Result<bool, Error> {
        let interval = if interval == 0 { usize::MAX } else { interval as usize };
        let above = rows.start * scan.wide / interval;
        let (above, start) = self.behind_restarts(scan.start, above).map_or((0, scan.start), |at| (above, at));
        let first = above * interval;
        let mut bits = self.source.start(self.data, start);
        let (mut left, mut number, mut column) = (interval, (above & 7) as u8, first % scan.wide);
        let (mut whole, mut lost) = (true, false);
        for row in first / scan.wide..rows.end.min(scan.high) {
            if (self.cancel)() {
                return Err(Error::Cancelled);
            }
            let mut some = false;
            while column < scan.wide {
                if left == 0 {
                    bits = self.source.restart(number);
                    mcus.restart();
                    number = (number + 1) & 7;
                    (left, lost) = (interval, false);
                }
                let run = left.min(scan.wide - column);
                let done = if lost { 0 } else { mcus.decode(&mut self.source, &mut bits, row, column..column + run) };
                some |= done > 0;
                if done < run {
                    mcus.lose(column + done..column + run);
                    (lost, whole) = (true, false);
                }
                column += run;
                left -= run;
            }
            column = 0;
            if some {
                self.started = true;
                mcus.finish_row(row);
            }
            if lost && interval == usize::MAX {
                break;
            }
        }
        Ok(whole)
    }

    /// Where the data go on behind so many restart markers. `None` if one of them is not the one that should come.
    fn behind_restarts(&self, start: usize, count: usize) -> Option<usize> {
        (0..count).try_fold(start, |at, restart| {
            let marker = find_marker(self.data, at);
            let expected = marker::RST0 + (restart & 7) as u8;
            (self.data.get(marker + 1) == Some(&expected)).then_some(marker + 2)
        })
    }
}
