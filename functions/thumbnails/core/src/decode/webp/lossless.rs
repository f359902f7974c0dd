//! How many groups of Huffman codes a lossless stream has. Each is a set of tables of some hundred kilobytes at most, a file
//! may have 65536 of them in a few megabytes, and the decoder builds them all before the first pixel.
//!
//! The number is one more than the largest value in an image of its own. Copies repeat what was written out before, so
//! the largest value that is written out is the largest of all: nothing needs to be kept to find it.

use crate::{Cancel, Error, decode::failed};

/// Symbols for green and lengths, red, blue, alpha, and distances.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// In which order the lengths of the codes for lengths come.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Symbols that are read before the next look at the clock.
const PORTION: u32 = 1 << 16;

/// Reads a stream up to its pixels, from behind its header, for a picture of this size.
pub(super) fn groups(stream: &[u8], (width, height): (u32, u32), cancel: &Cancel) -> Result<u64, Error> {
    let mut bits = Bits { bytes: stream, at: 0, symbols: 0, cancel };
    bits.groups(width, height).ok_or_else(|| failed(cancel, "a lossless stream is broken"))
}

/// Bits, the lowest of each byte first. Whatever is wrong with them is `None`, and so is that it is time to stop.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Those of images, which may take no bits.
    symbols: u32,
    cancel: &'a Cancel,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for bit in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.read(1)? == 1)
    }

    fn groups(&mut self, mut width: u32, height: u32) -> Option<u64> {
        let mut seen = [false; 4];
        while self.flag()? {
            let transform = self.read(2)?;
            // One of each, as the decoder has it.
            if std::mem::replace(&mut seen[transform as usize], true) {
                return None;
            }
            match transform {
                2 => {}
                3 => {
                    let colors = self.read(8)? + 1;
                    self.image(colors, 1)?;
                    // So many pixels are in one.
                    let shift = [(2, 3), (4, 2), (16, 1)].iter().find(|(most, _)| colors <= *most);
                    width = width.div_ceil(1 << shift.map_or(0, |(_, shift)| *shift));
                }
                _ => _ = self.blocks(width, height)?,
            }
        }
        self.cache()?;
        if self.flag()? { Some(u64::from(self.blocks(width, height)?) + 1) } else { Some(1) }
    }

    /// An image with a pixel for each block of the picture.
    fn blocks(&mut self, width: u32, height: u32) -> Option<u32> {
        let side = 1 << (self.read(3)? + 2);
        self.image(width.div_ceil(side), height.div_ceil(side))
    }

    /// The largest number that red and green of a pixel make together.
    fn image(&mut self, width: u32, height: u32) -> Option<u32> {
        let cache = self.cache()?;
        let mut codes = Vec::with_capacity(ALPHABETS.len());
        for (alphabet, more) in ALPHABETS.into_iter().zip([cache, 0, 0, 0, 0]) {
            codes.push(self.code(alphabet + more)?);
        }
        let mut left = width.checked_mul(height)?;
        let mut most = 0;
        while left > 0 {
            self.symbols += 1;
            if self.symbols.is_multiple_of(PORTION) && self.cancel.is_set() {
                return None;
            }
            let symbol = codes[0].read(self)?;
            let count = match symbol {
                0..256 => {
                    most = most.max(codes[1].read(self)? << 8 | symbol);
                    codes[2].read(self)?;
                    codes[3].read(self)?;
                    1
                }
                256..280 => {
                    let length = self.number(symbol - 256)?;
                    let distance = codes[4].read(self)?;
                    self.number(distance)?;
                    length
                }
                _ => 1,
            };
            left = left.checked_sub(count)?;
        }
        Some(most)
    }

    /// How many colours are kept to be named again.
    fn cache(&mut self) -> Option<usize> {
        if !self.flag()? {
            return Some(0);
        }
        let bits = self.read(4)?;
        (1..=11).contains(&bits).then(|| 1 << bits)
    }

    /// A length or a distance, which a symbol begins.
    fn number(&mut self, symbol: u32) -> Option<u32> {
        if symbol < 4 {
            return Some(symbol + 1);
        }
        let more = (symbol - 2) >> 1;
        Some(((2 + (symbol & 1)) << more) + self.read(more)? + 1)
    }

    fn code(&mut self, alphabet: usize) -> Option<Code> {
        if self.flag()? {
            let two = self.flag()?;
            let wide = self.flag()?;
            let first = self.read(if wide { 8 } else { 1 })?;
            let second = if two { Some(self.read(8)?) } else { None };
            let symbols: Vec<u32> = [Some(first), second].into_iter().flatten().collect();
            // The decoder refuses what is not of the alphabet, and `number` reckons with that.
            if symbols.iter().any(|symbol| *symbol as usize >= alphabet) {
                return None;
            }
            // Two have a bit each in this order, as the decoder has it.
            return Some(Code::of(symbols));
        }
        let mut lengths = vec![0; alphabet];
        let mut first = [0; ORDER.len()];
        for at in ORDER.into_iter().take(4 + self.read(4)? as usize) {
            first[at] = self.read(3)?;
        }
        let first = Code::new(&first)?;
        let most = if self.flag()? {
            let bits = 2 + 2 * self.read(3)?;
            2 + self.read(bits)? as usize
        } else {
            alphabet
        };
        let (mut at, mut before) = (0, 8);
        for _ in 0..most {
            if at == alphabet {
                break;
            }
            let symbol = first.read(self)?;
            let (length, times) = match symbol {
                0..16 => (symbol, 1),
                16 => (before, 3 + self.read(2)?),
                17 => (0, 3 + self.read(3)?),
                _ => (0, 11 + self.read(7)?),
            };
            if (1..16).contains(&symbol) {
                before = symbol;
            }
            let end = at + times as usize;
            lengths.get_mut(at..end)?.fill(length);
            at = end;
        }
        Code::new(&lengths)
    }
}

/// A canonical Huffman code.
struct Code {
    /// How many symbols have codes of each length.
    counts: [u32; 16],
    /// Symbols by the length of their codes, and then by number.
    symbols: Vec<u32>,
}

impl Code {
    fn new(lengths: &[u32]) -> Option<Self> {
        let mut counts = [0; 16];
        let mut symbols: Vec<u32> = Vec::new();
        for (symbol, length) in (0..).zip(lengths).filter(|(_, length)| **length > 0) {
            counts[*length as usize] += 1;
            symbols.push(symbol);
        }
        symbols.sort_by_key(|symbol| lengths[*symbol as usize]);
        // Every row of bits is a code, or there is one symbol alone, which takes no bits.
        let whole: u32 = (1..16).map(|length| counts[length] << (15 - length)).sum();
        (whole == 1 << 15 || symbols.len() == 1).then_some(Self { counts, symbols })
    }

    /// One symbol, or two of one bit each.
    fn of(symbols: Vec<u32>) -> Self {
        let mut counts = [0; 16];
        counts[1] = 2;
        Self { counts, symbols }
    }

    fn read(&self, bits: &mut Bits<'_>) -> Option<u32> {
        if let [symbol] = self.symbols[..] {
            return Some(symbol);
        }
        let (mut code, mut first, mut before) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = code << 1 | bits.read(1)?;
            if code - first < *count {
                return self.symbols.get((before + code - first) as usize).copied();
            }
            before += count;
            first = (first + count) << 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_code_names_symbols_of_its_alphabet() {
        // One symbol of eight bits, 40.
        let bytes = [0b0100_0101, 0b0000_0001];
        let code = |alphabet| {
            let mut bits = Bits { bytes: &bytes, at: 0, symbols: 0, cancel: &Cancel::never() };
            bits.code(alphabet).map(|code| code.symbols)
        };
        assert_eq!(code(41), Some(vec![40]));
        assert_eq!(code(40), None, "there are 40 distances");
    }
}
