//! A JPEG encoder for the tests: it writes given coefficients in any arrangement that the standard knows, so a test
//! knows which samples must come out.

use super::{bits::BitWriter, random::Random};

/// One component: its sampling factors, and a padded grid of blocks.
pub(crate) struct Component {
    pub(crate) id: u8,
    pub(crate) horizontal: usize,
    pub(crate) vertical: usize,
    pub(crate) blocks_wide: usize,
    /// Size without what fills an MCU up.
    pub(crate) own_wide: usize,
    pub(crate) own_high: usize,
    /// Coefficients in zigzag order, row by row.
    pub(crate) blocks: Vec<[i32; 64]>,
}

/// A picture before it is written.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) components: Vec<Component>,
    pub(crate) quantisers: [u16; 64],
}

/// A scan: components, band, and bits (the previous lowest bit, 0 at first, and the lowest one after it).
#[derive(Clone)]
pub(crate) struct Scan {
    pub(crate) components: Vec<usize>,
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) high: u8,
    pub(crate) low: u8,
}

/// How a picture is written.
#[derive(Clone, Default)]
pub(crate) struct Layout {
    pub(crate) progressive: bool,
    pub(crate) restart_interval: u16,
    pub(crate) scans: Vec<Scan>,
    /// Segments to put behind the beginning: marker and body.
    pub(crate) segments: Vec<(u8, Vec<u8>)>,
}

impl Picture {
    /// Random coefficients, sparse as those of photos.
    pub(crate) fn random(width: usize, height: usize, sampling: &[(usize, usize)], seed: u64) -> Self {
        let mut random = Random(seed);
        let most_wide = sampling.iter().map(|factors| factors.0).max().expect("a component");
        let most_high = sampling.iter().map(|factors| factors.1).max().expect("a component");
        let (mcus_wide, mcus_high) = (width.div_ceil(8 * most_wide), height.div_ceil(8 * most_high));
        let components = sampling.iter().enumerate().map(|(i, &(horizontal, vertical))| Component {
            id: i as u8 + 1,
            horizontal,
            vertical,
            blocks_wide: mcus_wide * horizontal,
            own_wide: (width * horizontal).div_ceil(most_wide).div_ceil(8),
            own_high: (height * vertical).div_ceil(most_high).div_ceil(8),
            blocks: (0..mcus_wide * horizontal * mcus_high * vertical).map(|_| random_block(&mut random)).collect(),
        });
        let components = components.collect();
        Self { width, height, components, quantisers: std::array::from_fn(|k| 2 + k as u16 / 4) }
    }

    /// One interleaved scan, as most files have it.
    pub(crate) fn baseline(&self) -> Layout {
        let components = (0..self.components.len()).collect();
        Layout { scans: vec![Scan { components, first: 0, last: 63, high: 0, low: 0 }], ..Layout::default() }
    }

    /// A scan for each component.
    pub(crate) fn non_interleaved(&self) -> Layout {
        let scan = |component| Scan { components: vec![component], first: 0, last: 63, high: 0, low: 0 };
        Layout { scans: (0..self.components.len()).map(scan).collect(), ..Layout::default() }
    }

    /// Bands and bits, much as common encoders choose them.
    pub(crate) fn progressive(&self) -> Layout {
        let all: Vec<usize> = (0..self.components.len()).collect();
        let mut scans = vec![Scan { components: all.clone(), first: 0, last: 0, high: 0, low: 1 }];
        for &component in &all {
            let one = |first, last, high, low| Scan { components: vec![component], first, last, high, low };
            scans.extend([one(1, 5, 0, 2), one(6, 63, 0, 2), one(1, 63, 2, 1), one(1, 9, 1, 0), one(10, 63, 1, 0)]);
        }
        scans.push(Scan { components: all, first: 0, last: 0, high: 1, low: 0 });
        Layout { progressive: true, scans, ..Layout::default() }
    }

    pub(crate) fn encode(&self, layout: &Layout) -> Vec<u8> {
        let mut out = vec![0xFF, 0xD8];
        for (marker, body) in &layout.segments {
            segment(&mut out, *marker, body);
        }
        let mut quantisers = vec![0x10];
        quantisers.extend(self.quantisers.iter().flat_map(|quantiser| quantiser.to_be_bytes()));
        segment(&mut out, 0xDB, &quantisers);
        let (width, height) = ((self.width as u16).to_be_bytes(), (self.height as u16).to_be_bytes());
        let mut frame = vec![8, height[0], height[1], width[0], width[1], self.components.len() as u8];
        for component in &self.components {
            frame.extend([component.id, (component.horizontal << 4 | component.vertical) as u8, 0]);
        }
        segment(&mut out, if layout.progressive { 0xC2 } else { 0xC1 }, &frame);
        for slot in 0..self.components.len() as u8 {
            let (counts, symbols) = code(slot);
            for class in [0, 0x10] {
                segment(&mut out, 0xC4, &[&[class | slot], &counts[..], &symbols[..]].concat());
            }
        }
        if layout.restart_interval > 0 {
            segment(&mut out, 0xDD, &layout.restart_interval.to_be_bytes());
        }
        for scan in &layout.scans {
            let mut header = vec![scan.components.len() as u8];
            header.extend(scan.components.iter().flat_map(|i| [self.components[*i].id, 0x11 * *i as u8]));
            header.extend([scan.first as u8, scan.last as u8, scan.high << 4 | scan.low]);
            segment(&mut out, 0xDA, &header);
            ScanWriter::new(self, scan, layout).write(&mut out);
        }
        out.extend([0xFF, 0xD9]);
        out
    }
}

fn random_block(random: &mut Random) -> [i32; 64] {
    let mut block = [0; 64];
    block[0] = random.between(-400, 400);
    let count = [0, 1, 3, 12, 63][random.below(5)];
    for _ in 0..count {
        let k = 1 + random.below(63);
        let most = 1 + 60 / k as i32;
        block[k] = random.between(-most, most);
    }
    block
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xFF, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
}

/// A component's code, for DC and AC alike: two symbols of each length from 3 to 9, 20 or 60 of lengths from 10 to 12,
/// and the rest of 16 bits.
fn code(slot: u8) -> ([u8; 16], Vec<u8>) {
    let (mut counts, mut symbols) = ([0; 16], vec![0, 1, 0x11, 2, 3, 0x21, 4, 5, 0x12, 6, 0x31, 0x41, 0xF0, 7]);
    counts[2..9].fill(2);
    (counts[9], counts[10], counts[11], counts[15]) = (60, 20, 20, 142);
    symbols.rotate_left(slot.into());
    let others: Vec<u8> = (0..=255).filter(|symbol| !symbols.contains(symbol)).collect();
    symbols.extend(others);
    (counts, symbols)
}

/// Code and length of each symbol.
fn codes(slot: u8) -> Vec<(u32, u32)> {
    let (counts, symbols) = code(slot);
    let (mut codes, mut next, mut symbols) = (vec![(0, 0); 256], 0, symbols.into_iter());
    for (length, count) in (1u32..).zip(counts) {
        for symbol in symbols.by_ref().take(count.into()) {
            codes[usize::from(symbol)] = (next, length);
            next += 1;
        }
        next <<= 1;
    }
    codes
}

/// Writes one scan's data.
struct ScanWriter<'a> {
    picture: &'a Picture,
    scan: &'a Scan,
    layout: &'a Layout,
    bits: BitWriter,
    /// For each component, code and length of each symbol.
    codes: Vec<Vec<(u32, u32)>>,
    /// The component whose turn it is.
    current: usize,
    predictions: Vec<i32>,
    /// Blocks without anything new, and the corrections in them.
    run: u32,
    corrections: Vec<u32>,
}

impl<'a> ScanWriter<'a> {
    fn new(picture: &'a Picture, scan: &'a Scan, layout: &'a Layout) -> Self {
        let codes = (0..picture.components.len() as u8).map(codes).collect();
        let predictions = vec![0; picture.components.len()];
        let bits = BitWriter::default();
        Self { picture, scan, layout, bits, codes, current: 0, predictions, run: 0, corrections: vec![] }
    }

    fn write(mut self, out: &mut Vec<u8>) {
        let single = self.scan.components.len() == 1;
        let of_scan = |i: &usize| &self.picture.components[*i];
        let first = of_scan(&self.scan.components[0]);
        let (wide, high) = if single {
            (first.own_wide, first.own_high)
        } else {
            (first.blocks_wide / first.horizontal, first.blocks.len() / first.blocks_wide / first.vertical)
        };
        let interval = usize::from(self.layout.restart_interval);
        let (mut number, mut since) = (0, 0);
        for mcu in 0..wide * high {
            if interval > 0 && since == interval {
                self.finish_run();
                self.bits.finish(out);
                out.extend([0xFF, 0xD0 + number]);
                number = (number + 1) % 8;
                self.predictions.fill(0);
                since = 0;
            }
            since += 1;
            for &i in &self.scan.components {
                self.current = i;
                let component = &self.picture.components[i];
                let (h, v) = if single { (1, 1) } else { (component.horizontal, component.vertical) };
                for block in 0..h * v {
                    let (row, column) = (mcu / wide * v + block / h, mcu % wide * h + block % h);
                    self.block(i, &component.blocks[row * component.blocks_wide + column]);
                }
            }
        }
        self.finish_run();
        self.bits.finish(out);
    }

    fn block(&mut self, component: usize, block: &[i32; 64]) {
        let Scan { first, last, high, low, .. } = *self.scan;
        match (self.layout.progressive, first, high) {
            (false, ..) => {
                self.dc(component, block[0]);
                self.band(&std::array::from_fn(|k| block[k]), 1, 63);
            }
            (true, 0, 0) => self.dc(component, block[0] >> low),
            (true, 0, _) => self.bits.put((block[0] >> low) as u32 & 1, 1),
            (true, _, 0) => self.band(&block.map(|value| value / (1 << low)), first, last),
            (true, ..) => self.refine(block),
        }
    }

    fn dc(&mut self, component: usize, value: i32) {
        let difference = value - self.predictions[component];
        self.predictions[component] = value;
        self.value(0, difference);
    }

    /// A symbol of so many zeros and a value's size, and the value.
    fn value(&mut self, zeros: u32, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.symbol(zeros << 4 | size);
        self.bits.put((if value < 0 { value - 1 } else { value }) as u32 & ((1 << size) - 1), size);
    }

    fn symbol(&mut self, symbol: u32) {
        let (code, length) = self.codes[self.current][symbol as usize];
        self.bits.put(code, length);
    }

    fn band(&mut self, block: &[i32; 64], first: usize, last: usize) {
        let mut zeros = 0;
        for value in &block[first..=last] {
            if *value == 0 {
                zeros += 1;
                continue;
            }
            self.finish_run();
            for _ in 0..zeros / 16 {
                self.symbol(0xF0);
            }
            self.value(zeros % 16, *value);
            zeros = 0;
        }
        if zeros > 0 {
            self.run += 1;
            if !self.layout.progressive || self.run == 0x7FFF {
                self.finish_run();
            }
        }
    }

    fn refine(&mut self, block: &[i32; 64]) {
        let Scan { first, last, low, .. } = *self.scan;
        let level = |k: usize| block[k].abs() >> low;
        let newest = (first..=last).rev().find(|k| level(*k) == 1);
        let (mut zeros, mut corrections) = (0, vec![]);
        for (k, value) in block.iter().enumerate().take(last + 1).skip(first) {
            let behind = newest.is_none_or(|newest| k > newest);
            match level(k) {
                0 if zeros == 15 && !behind => {
                    self.finish_run();
                    self.symbol(0xF0);
                    self.raw(&mut corrections);
                    zeros = 0;
                }
                0 => zeros += 1,
                1 => {
                    self.finish_run();
                    self.symbol(zeros << 4 | 1);
                    self.bits.put((*value > 0).into(), 1);
                    self.raw(&mut corrections);
                    zeros = 0;
                }
                level => corrections.push(level as u32 & 1),
            }
        }
        if zeros > 0 || !corrections.is_empty() {
            self.run += 1;
            self.corrections.append(&mut corrections);
            if self.run == 0x7FFF {
                self.finish_run();
            }
        }
    }

    fn raw(&mut self, bits: &mut Vec<u32>) {
        for bit in bits.drain(..) {
            self.bits.put(bit, 1);
        }
    }

    /// Writes how many blocks brought nothing new, and their corrections.
    fn finish_run(&mut self) {
        if self.run > 0 {
            let size = self.run.ilog2();
            self.symbol(size << 4);
            self.bits.put(self.run & ((1 << size) - 1), size);
            self.run = 0;
        }
        let mut corrections = std::mem::take(&mut self.corrections);
        self.raw(&mut corrections);
    }
}
