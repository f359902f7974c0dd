//! The query as it came over the wire.

use super::{Fit, Format, Refusal, size, size::Size};

/// The parameters that are known; all others are ignored.
const NAMES: [&str; 8] = ["w", "h", "fit", "format", "q", "dpr", "expires", "signature"];

/// The parameters of a request, before they are put together.
pub(super) struct Query<'a> {
    width: Option<u32>,
    height: Option<u32>,
    /// Device pixels a pixel, in hundredths.
    ratio: u32,
    pub(super) fit: Fit,
    /// `None` stands for `auto`.
    pub(super) format: Option<Format>,
    pub(super) quality: u8,
    pub(super) expires: Option<u64>,
    pub(super) signature: Option<&'a str>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut values: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(at) = NAMES.iter().position(|known| *known == name) else { continue };
            if values[at].replace(value).is_some() {
                return Err(Refusal::Invalid { field: NAMES[at], reason: "is given twice" });
            }
        }
        let [w, h, fit, format, q, dpr, expires, signature] = values;
        Ok(Self {
            width: w.map(|text| side("w", text)).transpose()?,
            height: h.map(|text| side("h", text)).transpose()?,
            ratio: dpr.map_or(Ok(100), ratio)?,
            fit: fit.map_or(Ok(Fit::Cover), fit_named)?,
            format: format.map_or(Ok(None), format_named)?,
            quality: q.map_or(Ok(80), quality)?,
            expires: expires.map(|text| number(text, 12).ok_or(EXPIRES)).transpose()?,
            signature,
        })
    }

    pub(super) fn size(&self) -> Size {
        size::canonical(self.width, self.height, self.ratio)
    }
}

const EXPIRES: Refusal = Refusal::Invalid { field: "expires", reason: "must be a number of seconds since 1970" };

/// A number of at most so many digits, and of nothing but digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    let plain = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn side(field: &'static str, text: &str) -> Result<u32, Refusal> {
    let pixels = number(text, 5).and_then(|pixels| u32::try_from(pixels).ok());
    let pixels = pixels.filter(|pixels| (1..=size::MAX_REQUESTED_SIDE).contains(pixels));
    pixels.ok_or(Refusal::Invalid { field, reason: "must be a whole number of pixels from 1 to 16383" })
}

fn quality(text: &str) -> Result<u8, Refusal> {
    let quality = number(text, 3).filter(|quality| (1..=100).contains(quality)).and_then(|q| u8::try_from(q).ok());
    let quality = quality.ok_or(Refusal::Invalid { field: "q", reason: "must be a whole number from 1 to 100" })?;
    // Buckets: nobody sees the difference between 78 and 80, but a cache would keep both.
    Ok((quality.div_ceil(10) * 10).clamp(30, 90))
}

/// `1`, `2.5` or `2.63` as hundredths.
fn ratio(text: &str) -> Result<u32, Refusal> {
    let hundredths = || {
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let fraction = match fraction {
            None => 0,
            Some(tenths) if tenths.len() == 1 => number(tenths, 1)? * 10,
            Some(hundredths) if hundredths.len() == 2 => number(hundredths, 2)?,
            Some(_) => return None,
        };
        u32::try_from(number(whole, 1)? * 100 + fraction).ok().filter(|ratio| (100..=300).contains(ratio))
    };
    let reason = "must be a number from 1 to 3 with at most two decimals";
    hundredths().ok_or(Refusal::Invalid { field: "dpr", reason })
}

fn fit_named(text: &str) -> Result<Fit, Refusal> {
    let reason = "must be cover, contain, fill or inside";
    Fit::ALL.into_iter().find(|fit| fit.name() == text).ok_or(Refusal::Invalid { field: "fit", reason })
}

fn format_named(text: &str) -> Result<Option<Format>, Refusal> {
    match text {
        "auto" => Ok(None),
        "webp" => Ok(Some(Format::WebP)),
        "jpeg" => Ok(Some(Format::Jpeg)),
        _ => Err(Refusal::Invalid { field: "format", reason: "must be auto, webp or jpeg" }),
    }
}
