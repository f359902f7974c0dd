//! Hostile files of WebP: random changes to good ones. What a file says of its streams is read before its decoder believes
//! it; here both are held to that: no panic, no more memory than the limit, and little time.
//!
//! ```sh
//! cargo test -p thumbnails-core --test fuzz
//! FUZZ_MUTATIONS=100000 cargo test -p thumbnails-core --test fuzz
//! FUZZ_SEED=1234 cargo test -p thumbnails-core --test fuzz     # that one alone, as a failure prints it
//! ```

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    reason = "small numbers"
)]

use peak_alloc::PeakAlloc;
use thumbnails_core::{Cancel, Error, Fit, Format, limits, render};

#[path = "suite/clock.rs"]
mod clock;
#[path = "suite/files.rs"]
#[allow(dead_code)]
mod files;
#[path = "../../jpeg/tests/suite/support/random.rs"]
#[allow(dead_code)]
mod random;

use clock::cpu_seconds;
use files::{boxed, canvas, chunk, frame, quarters, riff, vp8, webp};
use random::Random;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a thumbnail of 16 x 16 takes beside the decoder.
const BESIDE: usize = 8 << 20;
/// CPU time of one file. A picture at the limits takes a good part of it.
const SECONDS: f64 = 4.0;

// The only test of this program: another one would allocate at the same time.
#[test]
fn mutations() {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    let files = corpus();
    let (mut shown, mut broken, mut large, mut slowest) = (0, 0, 0, 0.0_f64);
    let seeds = match setting("FUZZ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("FUZZ_MUTATIONS").unwrap_or(4000),
    };
    for seed in seeds {
        let mut random = Random(seed);
        let file = mutated(&files[random.below(files.len())], &mut random);
        MEMORY.reset_peak_usage();
        let (memory, start) = (MEMORY.current_usage(), cpu_seconds());
        let result = render(&file, &boxed(16, 16, Fit::Cover, Format::WebP), &Cancel::never());
        let took = cpu_seconds() - start;
        let peak = MEMORY.peak_usage().saturating_sub(memory);
        let what = format!("FUZZ_SEED={seed}, {} bytes: {result:?}", file.len());
        assert!(peak <= limits::DECODER_BYTES + BESIDE, "{what}, {peak} bytes allocated");
        assert!(took <= SECONDS, "{what}, {took} s");
        slowest = slowest.max(took);
        match result {
            Ok(_) => shown += 1,
            Err(Error::TooLarge(_)) => large += 1,
            Err(Error::Malformed(why)) if !why.starts_with("a decoder panicked") => broken += 1,
            // Its first bytes are others now.
            Err(Error::NotAnImage) => {}
            Err(Error::Malformed(_) | Error::Cancelled | Error::Encoder(_)) => panic!("{what}"),
        }
    }
    println!("{shown} shown, {broken} broken, {large} too large, {slowest} s at most");
    assert!(shown > 0 && broken > 0 && large > 0 || setting("FUZZ_SEED").is_some());
}

/// Good files of every kind.
fn corpus() -> Vec<Vec<u8>> {
    let size = (64, 48);
    let rgba = |alpha: fn(usize) -> u8| -> Vec<u8> {
        let pixels = quarters(64, 48);
        let pixels = pixels.as_chunks::<3>().0.iter().enumerate();
        pixels.flat_map(|(at, [r, g, b])| [*r, *g, b.wrapping_add(at as u8), alpha(at)]).collect()
    };
    let lossless = webp(&rgba(|at| at as u8), size, image_webp::ColorType::Rgba8);
    // libwebp has streams of transparency of its own kinds: palettes, predictors, caches.
    let masks: [fn(usize) -> u8; 3] = [|at| (at / 7) as u8, |at| (at % 3 * 100) as u8, |at| (at * at / 11) as u8];
    let transparent = masks.map(|mask| {
        let source = webp(&rgba(mask), size, image_webp::ColorType::Rgba8);
        files::thumbnail(&source, boxed(64, 48, Fit::Cover, Format::WebP)).bytes
    });
    let picture = lossless[12..].to_vec();
    let frames = [frame(size, std::slice::from_ref(&picture)), frame((32, 32), &[vp8(32, 32)])].concat();
    let mut files = vec![
        webp(&quarters(64, 48), size, image_webp::ColorType::Rgb8),
        riff(&[vp8(64, 48)]),
        riff(&[canvas(0x10, size), picture]),
        riff(&[canvas(0x12, size), files::animated(), frames]),
        riff(&[canvas(0x10, (16, 16)), chunk(*b"ALPH", &[1; 60]), vp8(16, 16)]),
        lossless,
    ];
    files.extend(transparent);
    files
}

/// A file with some bits or bytes changed, parts repeated or left out, or its end missing.
fn mutated(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..random.below(6) {
        // Three times of four near the beginning, where the structure is.
        let end = if random.below(4) == 0 { file.len() } else { file.len().min(120) };
        let at = 12 + random.below(end - 12);
        file[at] = match random.below(4) {
            0 => 0xFF,
            1 | 2 => file[at] ^ 1 << random.below(8),
            _ => random.next() as u8,
        };
    }
    let from = 12 + random.below(file.len() - 12);
    let part = from..(from + random.below(100)).min(file.len());
    match random.below(12) {
        0 => file.truncate(from),
        1 => drop(file.drain(part)),
        2 => file.extend_from_within(part),
        3 => {
            let copy = file[part].to_vec();
            let to = 12 + random.below(file.len() - 12);
            file.splice(to..to, copy);
        }
        // All chunks twice.
        4 => file.extend_from_within(12..),
        5 => resize(&mut file, random),
        _ => {}
    }
    file
}

/// Gives a picture, and its canvas where it has one, another size of any order of magnitude.
fn resize(file: &mut [u8], random: &mut Random) {
    let [width, height] = [0; 2].map(|_| (random.next() as u32 & 0x3FFF) >> random.below(12));
    let places = |file: &[u8], name: &[u8; 4]| file.windows(4).position(|at| at == name).map(|at| at + 8);
    if let Some(at) = places(file, b"VP8X").filter(|at| at + 10 <= file.len()) {
        file[at + 4..at + 6].copy_from_slice(&width.to_le_bytes()[..2]);
        file[at + 7..at + 9].copy_from_slice(&height.to_le_bytes()[..2]);
    }
    if let Some(at) = places(file, b"VP8L").filter(|at| at + 5 <= file.len()) {
        file[at + 1..at + 5].copy_from_slice(&(width | height << 14).to_le_bytes());
    }
    if let Some(at) = places(file, b"VP8 ").filter(|at| at + 10 <= file.len()) {
        file[at + 6..at + 8].copy_from_slice(&((width + 1) as u16 & 0x3FFF).to_le_bytes());
        file[at + 8..at + 10].copy_from_slice(&((height + 1) as u16 & 0x3FFF).to_le_bytes());
    }
}
