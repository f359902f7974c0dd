//! Real files, against libjpeg-turbo's decoder at the same scale.
//!
//! A plane passes when it is as good as the same (PSNR of 40 dB), or when it is closer (SSIM) than libjpeg-turbo's to
//! what both stand for: a full decode, reduced by a Lanczos filter. `scripts/fetch-images` brings what this needs.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

mod image;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use image::Image;
use thumbnails_jpeg::{Color, Component, Header, Limits, Planes, Scale};

const SCALES: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

/// From here on two pictures count as the same.
const SAME: f64 = 40.0;

/// Planes with fewer samples a side have too few windows for SSIM to tell which is better. None of them is a photo.
const SMALL: usize = 64;

/// Pictures with more pixels are not compared in full: it takes long, and shows nothing new.
const LARGE: u32 = 5_000_000;

#[test]
fn planes_are_as_good_as_those_of_libjpeg_turbo() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.tools");
    let (djpeg, mut files) = (tools.join("bin/djpeg"), Vec::new());
    find_jpegs(&tools.join("images"), &mut files);
    if files.is_empty() || !djpeg.exists() {
        println!("skipped: the pictures or djpeg are not there; scripts/fetch-images brings them");
        return;
    }
    files.sort();
    let mut judge = Judge { djpeg, tallies: Default::default(), failures: Vec::new() };
    for file in &files {
        judge.examine(file);
    }
    for (scale, tally) in SCALES.iter().zip(&judge.tallies) {
        println!("{scale:?}: {tally}");
    }
    assert!(judge.failures.is_empty(), "{}", judge.failures.join("\n"));
    assert!(judge.tallies.iter().all(|tally| tally.planes > 200), "too few planes were compared");
}

fn find_jpegs(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_jpegs(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "jpg" || extension == "jpeg") {
            files.push(path);
        }
    }
}

struct Judge {
    djpeg: PathBuf,
    tallies: [Tally; 4],
    failures: Vec<String>,
}

impl Judge {
    fn examine(&mut self, file: &Path) {
        let data = fs::read(file).expect("a readable file");
        let header = match Header::read(&data, &Limits::default()) {
            Ok(header) => header,
            Err(error) => {
                if self.djpeg(file, &["-fast"]).is_some() {
                    self.failures.push(format!("{}: {error}, but libjpeg-turbo reads it", file.display()));
                }
                return;
            }
        };
        for (i, scale) in SCALES.into_iter().enumerate() {
            if scale == Scale::Full && header.width() * header.height() > LARGE {
                continue;
            }
            // Without a complaint of libjpeg-turbo there must be none of ours.
            let Some(theirs) = self.decode(&header, file, scale) else { continue };
            match header.decode(scale, 0..u32::MAX, || false) {
                Ok(picture) if !picture.damaged => self.compare(&header, file, i, &picture, &theirs),
                other => self.failures.push(format!("{} at {scale:?}: {:?}", file.display(), other.err())),
            }
        }
    }

    fn compare(&mut self, header: &Header, file: &Path, i: usize, picture: &Planes, theirs: &[Image]) {
        let scale = SCALES[i];
        for (c, (plane, theirs)) in picture.planes.iter().zip(theirs).enumerate() {
            let ours = Image::new(plane.width as usize, plane.height as usize, plane.data.clone());
            let Some(theirs) = reduced(header, c, theirs) else { continue };
            let what = format!("{}, component {c} at {scale:?}", file.display());
            assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "{what}");
            let likeness = ours.psnr(&theirs);
            // What djpeg writes as it decodes it, neither converted nor put together from several samples.
            let direct = c == 0 && (plane.width, plane.height) == (picture.width, picture.height);
            if scale == Scale::Eighth && direct && likeness.is_finite() {
                self.failures.push(format!("{what}: not equal"));
            }
            if likeness < SAME && ours.width.min(ours.height) < SMALL {
                self.tallies[i].small += 1;
                continue;
            }
            self.tallies[i].count(likeness);
            if likeness < SAME {
                let full = self.decode(header, file, Scale::Full).and_then(|full| reduced(header, c, &full[c]));
                let full = full.expect("libjpeg-turbo has decoded it before");
                let reference = full.lanczos(ours.width, ours.height, f64::from(scale.denominator()));
                let (ours, theirs) = (ours.ssim(&reference), theirs.ssim(&reference));
                self.tallies[i].decided.push((ours, theirs));
                if ours < theirs {
                    self.failures.push(format!("{what}: {likeness:.1} dB, SSIM {ours:.4} against {theirs:.4}"));
                }
            }
        }
    }

    /// What libjpeg-turbo makes of each component, at the size of the whole picture. `None` where it complains, and for
    /// what djpeg does not write.
    fn decode(&self, header: &Header, file: &Path, scale: Scale) -> Option<Vec<Image>> {
        let scale = format!("1/{}", scale.denominator());
        let run = |kind: &str| self.djpeg(file, &[kind, "-nosmooth", "-dct", "int", "-scale", &scale]);
        match header.color() {
            Color::Grey => run("-grayscale"),
            Color::Rgb => run("-rgb"),
            Color::YCbCr => {
                let mut planes = run("-grayscale")?;
                planes.extend(image::color_differences(&run("-rgb")?));
                Some(planes)
            }
            _ => None,
        }
    }

    /// What djpeg writes. `None` if it complains.
    fn djpeg(&self, file: &Path, arguments: &[&str]) -> Option<Vec<Image>> {
        let output = Command::new(&self.djpeg).args(arguments).arg(file).output().ok()?;
        (output.status.success() && output.stderr.is_empty()).then(|| image::read_pnm(&output.stdout))
    }
}

/// The average of those samples that stand for one of the component's, where that is a whole number of them.
fn reduced(header: &Header, component: usize, image: &Image) -> Option<Image> {
    let factor = |of: fn(&Component) -> u8| {
        let largest = header.components().iter().map(of).max()?;
        let own = of(&header.components()[component]);
        largest.is_multiple_of(own).then_some(usize::from(largest / own))
    };
    Some(image.averaged(factor(|c| c.horizontal)?, factor(|c| c.vertical)?))
}

/// What came out at one scale.
#[derive(Default)]
struct Tally {
    planes: usize,
    equal: usize,
    /// Below 40 dB but too small to judge, and not counted otherwise.
    small: usize,
    least: Option<f64>,
    /// SSIM to the reference, ours and theirs, where that decided.
    decided: Vec<(f64, f64)>,
}

impl Tally {
    fn count(&mut self, likeness: f64) {
        self.planes += 1;
        self.equal += usize::from(likeness.is_infinite());
        self.least = Some(self.least.map_or(likeness, |least| least.min(likeness)));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} planes, {} equal, least PSNR {:.1} dB", self.planes, self.equal, self.least.unwrap_or(0.0))?;
        let count = self.decided.len();
        if count > 0 {
            let mean = |of: fn(&(f64, f64)) -> f64| self.decided.iter().map(of).sum::<f64>() / count as f64;
            let (ours, theirs) = (mean(|pair| pair.0), mean(|pair| pair.1));
            write!(f, "; {count} below {SAME} dB, mean SSIM {ours:.4} against {theirs:.4}")?;
        }
        write!(f, "; {} below it but too small to judge", self.small)
    }
}
