//! What a request asks for: path, query and `Accept` -> key and transform, in one canonical form.
//!
//! The canonical form is what caches see. Every spelling of the same thumbnail has the same one, so it is made once.
//! `edge/viewer.js` makes it in front of the cache; `vectors.json` holds both parsers to the same answers.

mod key;
mod query;
mod signature;
mod size;

use std::fmt;

pub use key::Key;
pub use signature::SigningKey;
pub use size::{MAX_OUTPUT_SIDE, Size, WIDTHS};

/// How a picture fits a box of two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Fills the box; what stands out is cut off evenly.
    Cover,
    /// Within the box, in the middle; the rest is transparent, or white where there is no transparency.
    Contain,
    /// Fills the box; the picture is stretched.
    Fill,
    /// Within the box; the thumbnail may be smaller than the box on one side.
    Inside,
}

impl Fit {
    const ALL: [Self; 4] = [Self::Cover, Self::Contain, Self::Fill, Self::Inside];

    const fn name(self) -> &'static str {
        match self {
            Self::Cover => "cover",
            Self::Contain => "contain",
            Self::Fill => "fill",
            Self::Inside => "inside",
        }
    }
}

/// The format of a thumbnail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// WebP, animated if the source is.
    WebP,
    /// Progressive JPEG; of an animation the first frame.
    Jpeg,
}

impl Format {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::WebP => "image/webp",
            Self::Jpeg => "image/jpeg",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::WebP => "webp",
            Self::Jpeg => "jpeg",
        }
    }
}

/// What to make of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// The box.
    pub size: Size,
    /// How the picture fits it.
    pub fit: Fit,
    /// The format that comes out.
    pub format: Format,
    /// 30 to 90, in tens.
    pub quality: u8,
}

/// A request in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which picture.
    pub key: Key,
    /// What to make of it.
    pub transform: Transform,
    /// Whether `Accept` has decided the format, so that the answer varies by it.
    pub negotiated: bool,
    /// When the signature ends, in seconds since 1970; only where signatures are asked for.
    pub expires: Option<u64>,
    signature: Option<String>,
}

/// What every request is held to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'a> {
    /// A request must be signed with one of these keys. Without any, nothing has to be signed.
    pub signing: &'a [SigningKey],
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A parameter is not what it must be.
    Invalid {
        /// The parameter, or `key`.
        field: &'static str,
        /// Completes a sentence about it.
        reason: &'static str,
    },
    /// The signature is missing or past its end.
    Forbidden(&'static str),
    /// The signature is of none of the keys.
    WrongSignature,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { field, reason } => write!(f, "{field}: {reason}"),
            Self::Forbidden(reason) => f.write_str(reason),
            Self::WrongSignature => f.write_str("the signature is wrong"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Request {
    /// Reads a request and checks its signature. `key` is the path after `/images/`, `query` what follows the question
    /// mark, both as they came over the wire; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn parse(key: &str, query: &str, accept: Option<&str>, rules: Rules<'_>, now: u64) -> Result<Self, Refusal> {
        let key = Key::parse(key)?;
        let query = query::Query::parse(query)?;
        let (format, negotiated) = match query.format {
            Some(format) => (format, false),
            None => (negotiate(accept), true),
        };
        let transform = Transform { size: query.size(), fit: query.fit, format, quality: query.quality };
        let mut request = Self { key, transform, negotiated, expires: None, signature: None };
        if !rules.signing.is_empty() {
            let signature = query.signature.ok_or(Refusal::Forbidden("this address must be signed"))?;
            request.expires = Some(query.expires.ok_or(Refusal::Forbidden("the signature has no end"))?);
            signature::check(rules.signing, &request.signed_text(), signature)?;
            if request.expires.is_some_and(|end| end <= now) {
                return Err(Refusal::Forbidden("the signature has expired"));
            }
            request.signature = Some(signature.to_owned());
        }
        Ok(request)
    }

    /// The query in its canonical form: names in one order, device pixels in the sizes, defaults written out.
    pub fn query(&self) -> String {
        let Transform { format, quality, .. } = self.transform;
        let mut parts = self.sizes();
        parts.push(format!("format={}", format.name()));
        parts.push(format!("q={quality}"));
        if let (Some(expires), Some(signature)) = (self.expires, &self.signature) {
            parts.push(format!("expires={expires}&signature={signature}"));
        }
        parts.join("&")
    }

    /// Signs the request: its query is good until `expires`, in seconds since 1970.
    #[must_use]
    pub fn signed(mut self, key: &SigningKey, expires: u64) -> Self {
        self.expires = Some(expires);
        self.signature = Some(key.sign(&self.signed_text()));
        self
    }

    /// What a signature is made of. The format is left out: it is decided by `Accept` on the way, and cheap to vary.
    fn signed_text(&self) -> String {
        let mut parts = self.sizes();
        parts.push(format!("q={}", self.transform.quality));
        parts.push(format!("expires={}", self.expires.unwrap_or_default()));
        format!("/images/{}?{}", self.key, parts.join("&"))
    }

    fn sizes(&self) -> Vec<String> {
        let Transform { size, fit, .. } = self.transform;
        let mut parts = Vec::with_capacity(6);
        parts.extend(size.width.map(|width| format!("w={width}")));
        parts.extend(size.height.map(|height| format!("h={height}")));
        if size.width.is_some() && size.height.is_some() {
            parts.push(format!("fit={}", fit.name()));
        }
        parts
    }
}

/// WebP for those who name it: old browsers accept `image/*` and `*/*`, and cannot show it.
fn negotiate(accept: Option<&str>) -> Format {
    let names_webp = accept.is_some_and(|accept| accept.split(',').any(accepts_webp));
    if names_webp { Format::WebP } else { Format::Jpeg }
}

fn accepts_webp(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let named = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("image/webp"));
    // A weight of zero in any spelling: `q=0`, `q=0.0`, `q=0.000`.
    let refused = |part: &str| {
        let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
        weight.is_some_and(|weight| !weight.bytes().any(|byte| (b'1'..=b'9').contains(&byte)))
    };
    named && !parts.any(refused)
}
