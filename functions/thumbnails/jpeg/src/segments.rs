//! The markers and segments that a JPEG file consists of, and the tables in them.

use std::ops::Range;

use crate::{Component, Error, huffman::Code, source::find_marker};

/// Markers, by the second of their two bytes.
pub(crate) mod marker {
    pub(crate) const SOF0: u8 = 0xC0;
    pub(crate) const SOF1: u8 = 0xC1;
    pub(crate) const SOF2: u8 = 0xC2;
    pub(crate) const DHT: u8 = 0xC4;
    pub(crate) const JPG: u8 = 0xC8;
    pub(crate) const DAC: u8 = 0xCC;
    pub(crate) const SOF15: u8 = 0xCF;
    pub(crate) const RST0: u8 = 0xD0;
    pub(crate) const RST7: u8 = 0xD7;
    pub(crate) const SOI: u8 = 0xD8;
    pub(crate) const EOI: u8 = 0xD9;
    pub(crate) const SOS: u8 = 0xDA;
    pub(crate) const DQT: u8 = 0xDB;
    pub(crate) const DRI: u8 = 0xDD;
    pub(crate) const APP0: u8 = 0xE0;
    pub(crate) const APP1: u8 = 0xE1;
    pub(crate) const APP2: u8 = 0xE2;
    pub(crate) const APP14: u8 = 0xEE;
    pub(crate) const TEM: u8 = 0x01;
}

/// A segment: its marker, and where its body is.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) marker: u8,
    pub(crate) body: Range<usize>,
}

/// The next segment at or after `from`. Bytes that belong to no segment are passed over.
pub(crate) fn next_segment(data: &[u8], from: usize) -> Result<Segment, Error> {
    let mut at = from;
    loop {
        at = find_marker(data, at) + 2;
        let marker = *data.get(at - 1).ok_or(Error::Truncated)?;
        match marker {
            marker::TEM | marker::RST0..=marker::SOI => {}
            marker::EOI => return Ok(Segment { marker, body: at..at }),
            _ => {
                let length = data.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Error::Truncated)?;
                let length = usize::from(u16::from_be_bytes(*length));
                if length < 2 {
                    return Err(Error::Malformed("length of a segment"));
                }
                if at + length > data.len() {
                    return Err(Error::Truncated);
                }
                return Ok(Segment { marker, body: at + 2..at + length });
            }
        }
    }
}

/// What the segments before a scan have set.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    /// Quantisers in zigzag order.
    quantisers: [Option<[u16; 64]>; 4],
    pub(crate) dc: [Option<Code>; 4],
    pub(crate) ac: [Option<Code>; 4],
    /// MCUs between restart markers; 0 for no restarts.
    pub(crate) restart_interval: u32,
}

impl Tables {
    /// Takes in a segment, if it is one that sets tables.
    pub(crate) fn read(&mut self, segment: &Segment, data: &[u8]) -> Result<(), Error> {
        let body = &data[segment.body.clone()];
        match segment.marker {
            marker::DQT => self.read_quantisers(body),
            marker::DHT => self.read_codes(body),
            marker::DRI => {
                let bytes = body.first_chunk().ok_or(Error::Malformed("restart interval"))?;
                self.restart_interval = u16::from_be_bytes(*bytes).into();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The quantisers of a component, in zigzag order.
    pub(crate) fn quantisers(&self, component: &Component) -> Result<&[u16; 64], Error> {
        let slot = self.quantisers.get(usize::from(component.table));
        slot.and_then(Option::as_ref).ok_or(Error::Malformed("missing quantisation table"))
    }

    fn read_quantisers(&mut self, mut body: &[u8]) -> Result<(), Error> {
        let malformed = Error::Malformed("quantisation table");
        while let [kind, rest @ ..] = body {
            let size = if kind >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * size).ok_or(malformed)?;
            let slot = self.quantisers.get_mut(usize::from(kind & 15)).ok_or(malformed)?;
            let values =
                values.chunks(size).map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)));
            let mut table = [0; 64];
            for (quantiser, value) in table.iter_mut().zip(values) {
                *quantiser = value;
            }
            *slot = Some(table);
            body = rest;
        }
        Ok(())
    }

    fn read_codes(&mut self, mut body: &[u8]) -> Result<(), Error> {
        let malformed = Error::Malformed("Huffman table");
        while let [kind, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(malformed)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(malformed)?;
            let codes = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(malformed),
            };
            *codes.get_mut(usize::from(kind & 15)).ok_or(malformed)? = Some(Code::new(*counts, symbols)?);
            body = rest;
        }
        Ok(())
    }
}
