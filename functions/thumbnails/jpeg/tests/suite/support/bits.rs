//! Bits, as a scan stores them.

#[derive(Default)]
pub(crate) struct BitWriter {
    bits: Vec<u8>,
}

impl BitWriter {
    /// The lowest `count` bits of a value.
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        self.bits.extend((0..count).rev().map(|i| (value >> i & 1) as u8));
    }

    /// Fills the last byte with ones and appends all, stuffed.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.bits.resize(self.bits.len().next_multiple_of(8), 1);
        for byte in self.bits.chunks(8) {
            let byte = byte.iter().fold(0, |byte, bit| byte << 1 | bit);
            out.push(byte);
            if byte == 0xFF {
                out.push(0);
            }
        }
        self.bits.clear();
    }
}
