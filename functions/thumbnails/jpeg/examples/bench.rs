//! Decodes files at every scale, and in full with zune-jpeg, by turns. Prints the best CPU time of each.
//!
//! ```sh
//! cargo run --release -p thumbnails-jpeg --example bench -- --runs 20 FILE...
//! ```

use std::{error::Error, fs, hint::black_box, path::Path, thread, time::Instant};

use thumbnails_jpeg::{Header, Limits, Scale};
use zune_jpeg::{JpegDecoder, zune_core::bytestream::ZCursor};

const SCALES: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

fn main() -> Result<(), Box<dyn Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let mut runs = 10;
    if files.first().is_some_and(|argument| argument == "--runs") {
        runs = files.get(1).ok_or("--runs needs a number")?.parse()?;
        files.drain(..2);
    }
    println!("CPU milliseconds, best of {runs}; the ratio is zune-jpeg's full decode to ours at 1/8");
    println!("{:<40} {:>5} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6}", "", "MP", "1/8", "1/4", "1/2", "1/1", "zune", "ratio");
    for file in &files {
        let data = fs::read(file)?;
        let header = Header::read(&data, &Limits::default())?;
        let mut best = [f64::INFINITY; 5];
        for _ in 0..runs {
            for (best, scale) in best.iter_mut().zip(SCALES) {
                *best = best.min(cpu_milliseconds(|| {
                    let header = Header::read(&data, &Limits::default());
                    black_box(header.and_then(|header| header.decode(scale, 0..u32::MAX, || false)).is_ok());
                }));
            }
            best[4] = best[4].min(cpu_milliseconds(|| {
                black_box(JpegDecoder::new(ZCursor::new(&data)).decode().is_ok());
            }));
        }
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        let name = if header.progressive() { format!("{name} (progressive)") } else { name.into_owned() };
        let megapixels = f64::from(header.width()) * f64::from(header.height()) / 1e6;
        let [eighth, quarter, half, full, zune] = best;
        println!(
            "{name:<40.40} {megapixels:>5.1} {eighth:>7.2} {quarter:>7.2} {half:>7.2} {full:>7.2} {zune:>7.2} {:>6.1}",
            zune / eighth
        );
    }
    Ok(())
}

/// CPU time of this thread where the system tells (Linux), else elapsed time.
fn cpu_milliseconds(work: impl FnOnce()) -> f64 {
    let on_cpu = || -> Option<f64> {
        // The system brings the figure up to date when the thread gives way.
        thread::yield_now();
        fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    };
    let (before, started) = (on_cpu(), Instant::now());
    work();
    match (before, on_cpu()) {
        (Some(before), Some(after)) => (after - before) / 1e6,
        _ => started.elapsed().as_secs_f64() * 1e3,
    }
}
