//! Hostile files: random changes to good ones. Whatever the file says, decoding must not panic, must not take long, and
//! must not allocate more than the header announces.
//!
//! ```sh
//! cargo test -p thumbnails-jpeg --test fuzz
//! FUZZ_MUTATIONS=100000 cargo test -p thumbnails-jpeg --test fuzz
//! FUZZ_SEED=1234 cargo test -p thumbnails-jpeg --test fuzz     # that one alone, as a failure prints it
//! ```

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use peak_alloc::PeakAlloc;
use thumbnails_jpeg::{Error, Header, Limits, Scale};

#[path = "suite/support/mod.rs"]
mod support;

use support::{
    encoder::{Layout, Picture},
    random::Random,
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const SCALES: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

/// CPU time that one file may take at one scale. Where the system does not tell the CPU time this is not checked.
const MILLISECONDS: f64 = 200.0;

// The only test of this program: another one would allocate at the same time.
#[test]
fn mutations() {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    let files = corpus();
    let mut tally = Tally::default();
    let seeds = match setting("FUZZ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("FUZZ_MUTATIONS").unwrap_or(4000),
    };
    for seed in seeds {
        let mut random = Random(seed);
        let file = mutated(&files[random.below(files.len())], &mut random);
        // Few may be large: each of those takes as long as a hundred others, and at the default limit it takes a slow
        // machine that long just to fill the planes.
        let pixels = if random.below(100) == 0 { 20_000_000 } else { 500_000 };
        let limits = Limits { pixels, ..Limits::default() };
        let result = catch_unwind(AssertUnwindSafe(|| examine(&file, &limits, &mut random, &mut tally)));
        assert!(result.is_ok(), "FUZZ_SEED={seed} fails, with a file of {} bytes", file.len());
    }
    println!("{tally:?}");
    assert!(tally.decoded > 0 && tally.damaged > 0 && tally.refused > 0 || setting("FUZZ_SEED").is_some());
}

#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    decoded: u64,
    damaged: u64,
    slowest_milliseconds: f64,
}

/// Good files of every kind.
fn corpus() -> Vec<Vec<u8>> {
    let samplings: [&[(usize, usize)]; 5] = [
        &[(1, 1)],
        &[(1, 1); 3],
        &[(2, 2), (1, 1), (1, 1)],
        &[(1, 2), (2, 1), (1, 1)],
        &[(2, 1), (1, 1), (1, 1), (2, 1)],
    ];
    let mut files = Vec::new();
    for (seed, sampling) in samplings.iter().enumerate() {
        let picture = Picture::random(75, 60, sampling, seed as u64);
        let segments = vec![(0xE1, b"Exif\0\0MM\0*".to_vec()), (0xE2, b"ICC_PROFILE\0\x01\x01profile".to_vec())];
        let layouts = [picture.baseline(), picture.non_interleaved(), picture.progressive()];
        for (layout, restart_interval) in layouts.into_iter().flat_map(|layout| [(layout.clone(), 0), (layout, 3)]) {
            let layout = Layout { restart_interval, segments: segments.clone(), ..layout };
            files.push(picture.encode(&layout));
        }
    }
    files
}

/// A file with some bytes changed, parts repeated or left out, or its end missing.
fn mutated(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..random.below(12) {
        // Every other time near the beginning, where the structure is.
        let end = if random.below(2) == 0 { file.len().min(1200) } else { file.len() };
        let at = random.below(end);
        file[at] = match random.below(4) {
            0 => 0xFF,
            1 => file[at] ^ 1 << random.below(8),
            _ => random.next() as u8,
        };
    }
    let from = random.below(file.len());
    let part = from..(from + random.below(600)).min(file.len());
    match random.below(12) {
        0 | 1 => file.truncate(from),
        5 | 6 => resize(&mut file, random),
        2 => drop(file.drain(part)),
        3 => file.extend_from_within(part),
        4 => {
            let copy = file[part].to_vec();
            let to = random.below(file.len());
            file.splice(to..to, copy);
        }
        _ => {}
    }
    file
}

/// Gives the picture another size, of any order of magnitude.
fn resize(file: &mut [u8], random: &mut Random) {
    if let Some(frame) = file.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0..=0xC2])) {
        for byte in [frame + 5, frame + 7] {
            let side = (random.next() as u16) >> random.below(12);
            if let Some(bytes) = file.get_mut(byte..byte + 2) {
                bytes.copy_from_slice(&side.to_be_bytes());
            }
        }
    }
}

fn examine(file: &[u8], limits: &Limits, random: &mut Random, tally: &mut Tally) {
    let Ok(header) = Header::read(file, limits) else {
        tally.refused += 1;
        return;
    };
    let pixels = u64::from(header.width()) * u64::from(header.height());
    assert!(pixels <= limits.pixels && header.width().max(header.height()) <= limits.side);
    let _ = (header.exif(), header.icc(), header.color());
    for scale in SCALES {
        let height = header.size_at(scale).1;
        let rows = match random.below(3) {
            0 => random.next() as u32 % height..height,
            _ => 0..u32::MAX,
        };
        let asked = Cell::new(0u32);
        MEMORY.reset_peak_usage();
        let (memory, started) = (MEMORY.current_usage(), cpu_milliseconds());
        let result = header.decode(scale, rows.clone(), || {
            asked.set(asked.get() + 1);
            false
        });
        let took = cpu_milliseconds() - started;
        let peak = MEMORY.peak_usage().saturating_sub(memory);
        tally.slowest_milliseconds = tally.slowest_milliseconds.max(took);
        assert!(peak <= header.memory(scale, rows), "{peak} bytes allocated");
        assert!(took <= MILLISECONDS, "{took} ms for {} x {} at {scale:?}", header.width(), header.height());
        // Once before each row of blocks of each component, in each scan and to make the samples.
        let most = 4 * (header.height().div_ceil(8) + 4) * (limits.scans + 1);
        assert!(asked.get() <= most, "asked {} times", asked.get());
        match result {
            Ok(planes) => {
                tally.decoded += 1;
                tally.damaged += u64::from(planes.damaged);
                assert_eq!((planes.width, planes.height), header.size_at(scale));
                assert_eq!(planes.planes.len(), header.components().len());
                assert!(
                    planes
                        .planes
                        .iter()
                        .all(|plane| plane.data.len() as u64 == u64::from(plane.width) * u64::from(plane.height))
                );
            }
            Err(error) => {
                tally.refused += 1;
                assert!(!matches!(error, Error::Cancelled | Error::NotJpeg));
            }
        }
    }
}

/// CPU time of this thread so far; 0 where the system does not tell.
fn cpu_milliseconds() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0.0) / 1e6
}
