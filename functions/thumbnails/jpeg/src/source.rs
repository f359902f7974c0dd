//! The bytes of a scan, and the bits in them.

/// Bytes of the window. It stays in the fastest cache.
const WINDOW: usize = 16 * 1024;

/// More than one MCU can take: ten blocks of 64 symbols, each of at most 31 bits with its value.
const MCU: usize = 4096;

/// How far a reader may look past the end. There it finds zeros.
const PADDING: usize = 16;

/// The entropy-coded bytes of one scan, without the stuffing, through a window of fixed size.
///
/// The window never reaches over a restart marker: what follows it is read after [`Source::restart`].
pub(crate) struct Source<'a> {
    data: &'a [u8],
    /// First byte that has not gone into the window.
    next: usize,
    window: Box<[u8; WINDOW]>,
    len: usize,
    /// The window holds all that there is before the next marker.
    ended: bool,
}

/// A place in the window, with at least 56 bits of look-ahead after [`Bits::refill`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Bits {
    buffer: u64,
    count: u32,
    position: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new() -> Self {
        Self { data: &[], next: 0, window: Box::new([0; WINDOW]), len: 0, ended: true }
    }

    /// Starts at the first entropy-coded byte of a scan.
    pub(crate) fn start(&mut self, data: &'a [u8], at: usize) -> Bits {
        (self.data, self.next) = (data, at);
        self.begin()
    }

    fn begin(&mut self) -> Bits {
        (self.len, self.ended) = (0, false);
        self.fill();
        Bits::default()
    }

    /// Copies until the window is full or a marker comes.
    fn fill(&mut self) {
        while self.len < WINDOW - PADDING {
            let room = WINDOW - PADDING - self.len;
            let rest = &self.data[self.next.min(self.data.len())..];
            let run = copy_run(&rest[..rest.len().min(room)], &mut self.window[self.len..]);
            self.len += run;
            self.next += run;
            if run == room {
                return;
            }
            match (rest.get(run), rest.get(run + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.window[self.len] = 0xFF;
                    self.len += 1;
                    self.next += 2;
                }
                _ => break,
            }
        }
        if self.len < WINDOW - PADDING {
            self.ended = true;
            self.window[self.len..self.len + PADDING].fill(0);
        }
    }

    /// Makes sure that the window holds the next MCU, as far as the data do.
    #[inline]
    pub(crate) fn prepare(&mut self, bits: &mut Bits) {
        if bits.position + MCU > self.len && !self.ended {
            self.slide(bits);
        }
    }

    #[cold]
    #[inline(never)]
    fn slide(&mut self, bits: &mut Bits) {
        let from = bits.position.min(self.len);
        self.window.copy_within(from..self.len, 0);
        self.len -= from;
        bits.position -= from;
        self.fill();
    }

    /// Whether more bits were taken than there are.
    #[inline]
    pub(crate) fn exhausted(&self, bits: &Bits) -> bool {
        self.ended && bits.position * 8 > self.len * 8 + bits.count as usize
    }

    /// Goes on after the restart marker with this number (0 to 7). Without it there is nothing to read until the next
    /// restart.
    ///
    /// A damaged file may have lost markers or have some to spare. The numbers tell: a marker that comes one or two too
    /// early is left for its turn, one that comes as much too late is passed over.
    pub(crate) fn restart(&mut self, number: u8) -> Bits {
        loop {
            let at = find_marker(self.data, self.next);
            self.next = at;
            match self.data.get(at + 1) {
                Some(marker @ 0xD0..=0xD7) => match (marker - 0xD0).wrapping_sub(number) & 7 {
                    1 | 2 => break,
                    6 | 7 => self.next = at + 2,
                    _ => {
                        self.next = at + 2;
                        return self.begin();
                    }
                },
                _ => break,
            }
        }
        (self.len, self.ended) = (0, true);
        self.window[..PADDING].fill(0);
        // One bit in debt, so that it counts as exhausted.
        Bits { position: 1, ..Bits::default() }
    }

    /// Where the scan's next marker may be looked for.
    pub(crate) fn next(&self) -> usize {
        self.next
    }
}

impl Bits {
    /// Fills up to at least 56 bits.
    #[inline(always)]
    pub(crate) fn refill(&mut self, source: &Source) {
        let at = self.position.min(source.len).min(WINDOW - 8);
        if let Some(bytes) = source.window[at..].first_chunk() {
            self.buffer |= u64::from_be_bytes(*bytes) >> self.count;
        }
        self.position += ((63 - self.count) >> 3) as usize;
        self.count |= 0b11_1000;
    }

    /// Bits that can be taken before the next refill.
    #[inline(always)]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The next `N` bits, at least 1.
    #[inline(always)]
    pub(crate) fn peek<const N: u32>(&self) -> usize {
        // At most 16 bits, which fit everywhere.
        (self.buffer >> (64 - N)) as usize
    }

    #[inline(always)]
    pub(crate) fn eat(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.count -= bits;
    }

    /// A number of up to 15 bits.
    #[inline(always)]
    pub(crate) fn take(&mut self, bits: u32) -> u32 {
        // Two shifts, since one by 64 would overflow.
        let value = (self.buffer >> 1 >> (63 - bits)) as u32;
        self.eat(bits);
        value
    }

    /// A signed number of up to 15 bits: the lower half of its range stands for what is negative.
    #[inline(always)]
    pub(crate) fn value(&mut self, bits: u32) -> i32 {
        let value = self.take(bits).cast_signed();
        extend(value, bits)
    }
}

/// What a number of so many bits stands for.
#[inline(always)]
pub(crate) fn extend(value: i32, bits: u32) -> i32 {
    if value < (1 << bits >> 1) { value - (1 << bits) + 1 } else { value }
}

/// Copies up to the first 0xFF, and says how many bytes that were. `to` is at least as long as `from`, plus 16.
fn copy_run(from: &[u8], to: &mut [u8]) -> usize {
    let mut done = 0;
    while let (Some(source), Some(target)) = (from[done..].first_chunk::<16>(), to[done..].first_chunk_mut::<16>()) {
        *target = *source;
        if let Some(at) = first_ff(source) {
            return done + at;
        }
        done += 16;
    }
    for (target, byte) in to[done..].iter_mut().zip(&from[done..]) {
        if *byte == 0xFF {
            break;
        }
        *target = *byte;
        done += 1;
    }
    done
}

/// The place of the first 0xFF.
#[inline]
fn first_ff(bytes: &[u8; 16]) -> Option<usize> {
    // Counting them all takes a few vector instructions, and most often there is none.
    (ff_count(bytes) > 0).then(|| bytes.iter().position(|byte| *byte == 0xFF))?
}

/// How many bytes are 0xFF.
#[inline(always)]
fn ff_count(bytes: &[u8; 16]) -> u8 {
    bytes.iter().map(|byte| u8::from(*byte == 0xFF)).sum()
}

/// The place of the next marker at or after `from`: an 0xFF that neither stuffing nor a fill byte follows. The end of
/// the data if there is none.
pub(crate) fn find_marker(data: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = data.get(at..) {
        let clear = rest.as_chunks::<16>().0.iter().take_while(|chunk| ff_count(chunk) == 0).count();
        at += clear * 16;
        match data[at..].iter().position(|byte| *byte == 0xFF) {
            Some(offset) => at += offset,
            None => break,
        }
        match data.get(at + 1) {
            Some(0) => at += 2,
            Some(0xFF) => at += 1,
            Some(_) => return at,
            None => break,
        }
    }
    data.len()
}
