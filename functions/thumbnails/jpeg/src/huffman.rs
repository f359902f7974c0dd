//! Huffman codes, and tables that decode them several bits at a time.

use crate::{
    error::Error,
    source::{Bits, Source, extend},
};

/// Bits by which the tables are indexed.
const LOOK: u32 = 10;
const DC: u32 = 10;
const AC: u32 = 10;
const SKIP: u32 = 12;

/// A code of the file: any table can be made of it.
#[derive(Clone)]
pub(crate) struct Code {
    /// For each length, the first 16-bit pattern behind the codes of that length.
    ends: [u32; 17],
    /// For each length, what to add to a code to find its symbol.
    offsets: [i32; 17],
    symbols: Box<[u8]>,
    /// For each beginning of a pattern: length in the upper byte, symbol in the lower one. Zero for a longer code.
    look: Box<[u16; 1 << LOOK]>,
}

impl Code {
    /// `counts` says how many codes there are of each length from 1 to 16; `symbols` is as long as their sum.
    pub(crate) fn new(counts: [u8; 16], symbols: &[u8]) -> Result<Self, Error> {
        let mut code =
            Self { ends: [0; 17], offsets: [0; 17], symbols: symbols.into(), look: Box::new([0; 1 << LOOK]) };
        let (mut next, mut first) = (0u32, 0usize);
        for (length, count) in (1u32..).zip(counts) {
            let of_length = symbols.get(first..first + usize::from(count)).ok_or(Error::Malformed("Huffman table"))?;
            let end = (next + u32::from(count)) << (16 - length);
            if end > 1 << 16 {
                return Err(Error::Malformed("Huffman table"));
            }
            code.ends[length as usize] = end;
            code.offsets[length as usize] = first as i32 - next.cast_signed();
            if length <= LOOK {
                let width = 1 << (LOOK - length);
                let entries = code.look[(next as usize) * width..].chunks_mut(width);
                for (entries, symbol) in entries.zip(of_length) {
                    entries.fill((length as u16) << 8 | u16::from(*symbol));
                }
            }
            first += of_length.len();
            next = (next + u32::from(count)) << 1;
        }
        Ok(code)
    }

    /// The next symbol. Takes at most 16 bits.
    #[inline(always)]
    pub(crate) fn symbol(&self, bits: &mut Bits) -> u32 {
        let entry = u32::from(self.look[bits.peek::<LOOK>()]);
        if entry == 0 {
            let (symbol, length) = self.long(bits.peek::<16>());
            bits.eat(length);
            return symbol;
        }
        bits.eat(entry >> 8);
        entry & 0xFF
    }

    /// Symbol and length of a code that the table does not hold. A pattern without a code gives 0, which ends a block.
    #[cold]
    #[inline(never)]
    fn long(&self, pattern: usize) -> (u32, u32) {
        for length in LOOK + 1..=16 {
            if (pattern as u32) < self.ends[length as usize] {
                let code = (pattern >> (16 - length)) as i32;
                let index = usize::try_from(code + self.offsets[length as usize]).ok();
                if let Some(symbol) = index.and_then(|index| self.symbols.get(index)) {
                    return (u32::from(*symbol), length);
                }
            }
        }
        (0, 16)
    }

    /// The code at the beginning of `pattern`, which is `width` bits long: symbol and length.
    fn peek(&self, pattern: usize, width: u32) -> Option<(u32, u32)> {
        let beginning = pattern << LOOK >> width;
        let entry = u32::from(*self.look.get(beginning & ((1 << LOOK) - 1))?);
        let length = entry >> 8;
        (length > 0 && length <= width).then_some((entry & 0xFF, length))
    }
}

/// Differences of DC coefficients: for each pattern the bits it takes (lower half) and the difference (upper half). Zero
/// where the pattern is too short to tell.
pub(crate) struct DcTable(Box<[u32; 1 << DC]>);

impl DcTable {
    pub(crate) fn new(code: &Code) -> Self {
        Self(table(|pattern| {
            let (symbol, length) = code.peek(pattern, DC)?;
            let size = symbol & 15;
            let left = DC.checked_sub(length + size)?;
            let value = extend((pattern >> left) as i32 & ((1 << size) - 1), size);
            Some((value as u32) << 16 | (length + size))
        }))
    }

    /// The next difference. Takes at most 31 bits.
    #[inline(always)]
    pub(crate) fn difference(&self, code: &Code, bits: &mut Bits) -> i32 {
        let entry = self.0[bits.peek::<DC>()];
        if entry == 0 {
            let size = code.symbol(bits) & 15;
            return bits.value(size);
        }
        bits.eat(entry & 31);
        entry.cast_signed() >> 16
    }
}

/// AC coefficients: for each pattern the bits it takes (lowest byte), how far it goes on in the zigzag order (next
/// byte) and the coefficient there (upper half). Zero where the pattern is too short to tell.
pub(crate) struct AcTable(Box<[u32; 1 << AC]>);

/// How far a symbol goes that ends the block.
const END: u32 = 64;

impl AcTable {
    pub(crate) fn new(code: &Code) -> Self {
        Self(table(|pattern| {
            let (symbol, length) = code.peek(pattern, AC)?;
            let size = symbol & 15;
            let left = AC.checked_sub(length + size)?;
            let value = extend((pattern >> left) as i32 & ((1 << size) - 1), size);
            Some((value as u32) << 16 | advance(symbol) << 8 | (length + size))
        }))
    }

    /// The next step in the zigzag order, 64 or more at the end of the block, and the coefficient there. Takes at most
    /// 31 bits.
    #[inline(always)]
    pub(crate) fn coefficient(&self, code: &Code, bits: &mut Bits) -> (u32, i32) {
        let entry = self.0[bits.peek::<AC>()];
        if entry == 0 {
            let symbol = code.symbol(bits);
            return (advance(symbol), bits.value(symbol & 15));
        }
        bits.eat(entry & 0xFF);
        (entry >> 8 & 0xFF, entry.cast_signed() >> 16)
    }

    /// The same, if the table holds it and the block does not end.
    #[inline(always)]
    pub(crate) fn short(&self, bits: &mut Bits) -> Option<(u32, i32)> {
        let entry = self.0[bits.peek::<AC>()];
        let steps = entry >> 8 & 0xFF;
        if entry == 0 || steps == END {
            return None;
        }
        bits.eat(entry & 0xFF);
        Some((steps, entry.cast_signed() >> 16))
    }
}

/// AC coefficients that nobody wants: for each pattern the bits of all codes in it, values included (6 bits), how far
/// they go in the zigzag order (7 bits), and whether the block ends there (1 bit).
pub(crate) struct SkipTable(Box<[u16; 1 << SKIP]>);

/// The entry of a pattern that needs the slow way. It goes further than any block.
const SLOW: u16 = 127 << 6;

impl SkipTable {
    pub(crate) fn new(code: &Code) -> Self {
        let entry = |pattern| {
            let (mut bits, mut steps, mut end) = (0, 0, 0);
            while let Some((symbol, length)) = code.peek(pattern << bits & ((1 << SKIP) - 1), SKIP) {
                if length > SKIP.saturating_sub(bits) {
                    break;
                }
                if advance(symbol) == END {
                    (bits, end) = (bits + length, 1);
                    break;
                }
                if steps + advance(symbol) > 62 {
                    break;
                }
                bits += length + (symbol & 15);
                steps += advance(symbol);
                if bits >= SKIP {
                    break;
                }
            }
            Some(if bits == 0 { SLOW } else { (end << 13 | steps << 6 | bits) as u16 })
        };
        Self(table(entry))
    }

    /// Passes over the rest of a block whose coefficients up to `k` in the zigzag order are read.
    #[inline(always)]
    pub(crate) fn skip(&self, code: &Code, bits: &mut Bits, source: &Source, mut k: u32) {
        while k < 63 {
            if bits.count() < 32 {
                bits.refill(source);
            }
            let entry = u32::from(self.0[bits.peek::<SKIP>()]);
            let reached = k + (entry >> 6 & 127);
            if reached < 63 {
                bits.eat(entry & 63);
                k = reached;
                if entry >> 13 != 0 {
                    return;
                }
            } else {
                // The block may end here without saying so: one code at a time.
                let symbol = code.symbol(bits);
                bits.eat(symbol & 15);
                k += advance(symbol);
            }
        }
    }
}

/// How far a symbol of an AC code goes on in the zigzag order.
#[inline(always)]
fn advance(symbol: u32) -> u32 {
    if symbol.trailing_zeros() >= 4 && symbol != 0xF0 { END } else { (symbol >> 4) + 1 }
}

/// A table whose entries are made from their places; an entry that cannot be made is zero.
#[allow(clippy::unnecessary_box_returns, reason = "tables are large, and live on the heap")]
fn table<T: Copy + Default, const N: usize>(entry: impl Fn(usize) -> Option<T>) -> Box<[T; N]> {
    let mut table = Box::new([T::default(); N]);
    for (pattern, slot) in table.iter_mut().enumerate() {
        *slot = entry(pattern).unwrap_or_default();
    }
    table
}
