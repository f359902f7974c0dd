//! The thumbnails' core as a Node add-on: Lambda@Edge runs Node.js only.
//!
//! Both functions return an object that says what went wrong, rather than throw: the handler answers each in its way.

use std::time::{Duration, Instant};

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use thumbnails_core::{Cancel, Error, Refusal, Request, Rules, SigningKey};

/// A request that was read, or why it was not.
#[napi(object)]
#[derive(Default)]
pub struct Asked {
    /// The key of the picture.
    pub key: Option<String>,
    /// The canonical query.
    pub query: Option<String>,
    /// When the signature ends, in seconds since 1970.
    pub expires: Option<f64>,
    /// Why the request is refused.
    pub reason: Option<String>,
    /// The parameter that is not valid. A refusal without one is about the signature.
    pub field: Option<String>,
}

/// A thumbnail, or why there is none.
#[napi(object)]
#[derive(Default)]
pub struct Made {
    /// The file.
    pub bytes: Option<Buffer>,
    /// Its media type.
    pub media_type: Option<String>,
    /// The code of the error.
    pub code: Option<String>,
    /// What went wrong: for the client with `PAYLOAD_TOO_LARGE`, else for the log.
    pub reason: Option<String>,
}

/// Reads a request. `key` is the path after `/images/`, `now` in seconds since 1970. With `secrets` it has to be signed.
#[napi(catch_unwind)]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // seconds since 1970
pub fn parse(key: String, query: String, accept: Option<String>, secrets: Vec<String>, now: f64) -> Asked {
    let signing: Vec<SigningKey> = secrets.iter().filter_map(|secret| SigningKey::new(secret.as_bytes())).collect();
    if signing.len() < secrets.len() {
        return Asked { reason: Some("a secret is shorter than 32 bytes".to_owned()), ..Asked::default() };
    }
    match Request::parse(&key, &query, accept.as_deref(), Rules { signing: &signing }, now as u64) {
        Ok(request) => Asked {
            key: Some(request.key.to_string()),
            query: Some(request.query()),
            expires: request.expires.map(|end| end as f64),
            ..Asked::default()
        },
        Err(Refusal::Invalid { field, reason }) => {
            Asked { field: Some(field.to_owned()), reason: Some(reason.to_owned()), ..Asked::default() }
        }
        Err(refusal @ (Refusal::Forbidden(_) | Refusal::WrongSignature)) => {
            Asked { reason: Some(refusal.to_string()), ..Asked::default() }
        }
    }
}

/// Makes the thumbnail that `query` asks for, in its canonical form, in at most so many milliseconds.
#[napi(catch_unwind)]
pub fn render(source: Buffer, query: String, millis: u32) -> Made {
    let failed =
        |code: &str, reason: String| Made { code: Some(code.to_owned()), reason: Some(reason), ..Made::default() };
    // Only the query matters here, and its signature has been checked.
    let request = match Request::parse("-", &query, None, Rules::default(), 0) {
        Ok(request) => request,
        Err(refusal) => return failed("INTERNAL", refusal.to_string()),
    };
    let cancel = Cancel::at(Instant::now() + Duration::from_millis(u64::from(millis)));
    match thumbnails_core::render(&source, &request.transform, &cancel) {
        Ok(thumbnail) => Made {
            media_type: Some(thumbnail.format.media_type().to_owned()),
            bytes: Some(thumbnail.bytes.into()),
            ..Made::default()
        },
        Err(Error::TooLarge(why)) => failed("PAYLOAD_TOO_LARGE", why.to_owned()),
        Err(Error::Cancelled) => failed("TIMEOUT", "the time is over".to_owned()),
        Err(error @ (Error::NotAnImage | Error::Malformed(_))) => failed("UNSUPPORTED_MEDIA_TYPE", error.to_string()),
        Err(error @ Error::Encoder(_)) => failed("INTERNAL", error.to_string()),
    }
}
