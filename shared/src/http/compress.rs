//! Content codings (RFC 9110, section 8.4): which one an answer gets, and gzipped request bodies.
//!
//! A request that accepts nothing we have is refused before a handler runs, and each coding has an entity tag of its own.
//! Answers are in memory as a whole, and so are coded as a whole: the layers of `tower-http` are for bodies that flow, and
//! each of them makes every answer larger by the coders that it might need.

use std::io;

use async_compression::{
    Level,
    brotli::EncoderParams,
    tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder},
};
use axum::{
    BoxError,
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY},
};
use http_body_util::{BodyExt, Limited};
use tokio::io::AsyncReadExt;
use tower_http::decompression::RequestDecompressionLayer;

use super::record::PlainSize;
use crate::error::{ApiError, Code};

/// Below this size an answer fits into one packet anyway, and a coding costs more than it saves.
const SMALLEST: u64 = 1024;
/// Largest encoded request body, in bytes. What it holds has the route's own limit.
const ENCODED_LIMIT: usize = 1024 * 1024;

/// A content coding that answers may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
    /// Brotli, RFC 7932.
    Br,
}

impl Coding {
    /// All, by rising preference where a client has none.
    pub(super) const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Zstd, Self::Br];

    /// Its name in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Br => "br",
        }
    }

    /// Each has a level of its own, which `bench compression` was asked for.
    const fn level(self) -> i32 {
        match self {
            Self::Identity => 0,
            Self::Gzip => 6,
            Self::Zstd => 1,
            Self::Br => 5,
        }
    }

    /// What stands at the end of the entity tag of a representation in this coding.
    pub(super) const fn tag_suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "-gzip",
            Self::Zstd => "-zstd",
            Self::Br => "-br",
        }
    }

    fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name()))
    }
}

/// How much a client wants each coding: thousandths, 0 for one that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codings([u16; 4]);

impl Codings {
    /// Reads `Accept-Encoding` (RFC 9110, section 12.5.3). A member that is malformed counts as absent.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (mut named, mut others) = ([None; 4], None);
        let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        for member in lines.flat_map(|line| line.split(',')) {
            let (name, parameter) = member.split_once(';').unwrap_or((member, "q=1"));
            let Some(weight) = weight(parameter.trim()) else { continue };
            match name.trim() {
                "*" => others = Some(weight),
                name => {
                    if let Some(coding) = Coding::named(name) {
                        named[coding as usize] = Some(weight);
                    }
                }
            }
        }
        // No coding at all is acceptable unless it is refused, but anything that was asked for is better.
        Self(Coding::ALL.map(|coding| {
            let unnamed = others.unwrap_or(u16::from(coding == Coding::Identity));
            named[coding as usize].unwrap_or(unnamed)
        }))
    }

    /// Whether the client can do with this coding.
    pub(super) const fn accept(self, coding: Coding) -> bool {
        self.0[coding as usize] > 0
    }

    /// The coding that the client likes best; `None` when it refuses all that there are.
    fn preferred(self) -> Option<Coding> {
        Coding::ALL.into_iter().filter(|coding| self.accept(*coding)).max_by_key(|coding| self.0[*coding as usize])
    }
}

/// `q=0.5` in thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit()) && decimals.len() <= 3;
    if !name.eq_ignore_ascii_case("q") || !digits {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Marks an answer that keeps its bytes as they are, whatever the client accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncoded;

/// Text compresses; images are compressed already. A part of something is not coded as if it were the whole.
fn is_codable(response: &Response) -> bool {
    let (headers, extensions) = (response.headers(), response.extensions());
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = ["application/json", "application/problem+json", "text/"];
    let settled = extensions.get::<Uncoded>().is_some()
        || [CONTENT_ENCODING, CONTENT_RANGE].iter().any(|name| headers.contains_key(name));
    !settled && text.iter().any(|kind| media_type.starts_with(kind))
}

/// Chooses the coding; tells caches what the answer depends on, coded or not, and the log how long it was.
pub(super) async fn negotiate(mut request: Request, next: Next) -> Response {
    let codings = Codings::of(request.headers());
    let head = request.method() == Method::HEAD;
    request.extensions_mut().insert(codings);

    let mut response = next.run(request).await;

    let size = response.body().size_hint();
    response.extensions_mut().insert(PlainSize(size.exact().unwrap_or_default()));
    if !is_codable(&response) {
        return response;
    }
    add_vary(response.headers_mut(), "Accept-Encoding");
    // Text of some length, or of any where the client refuses text as it is.
    let worthwhile = size.lower() >= SMALLEST || !codings.accept(Coding::Identity);
    match codings.preferred().filter(|coding| worthwhile && *coding != Coding::Identity) {
        Some(coding) => coded(response, coding, head).await,
        None => response,
    }
}

/// The answer in a coding, with the tag of that. To HEAD it says no length: that of the coded body is not known, and another
/// one would be wrong (RFC 9110, section 8.6).
async fn coded(response: Response, coding: Coding, head: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(tag) = parts.headers.get(ETAG).and_then(|tag| suffixed(tag, coding)) {
        parts.headers.insert(ETAG, tag);
    }
    if head {
        return Response::from_parts(parts, Body::from_stream(body.into_data_stream()));
    }
    let coded = async { Ok::<_, BoxError>(encode(&body.collect().await?.to_bytes(), coding, coding.level()).await?) };
    match coded.await {
        Ok(bytes) => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            Response::from_parts(parts, Body::from(bytes))
        }
        // What is coded is in memory, so nothing breaks off on the way; but half a body must never go out as a whole.
        Err(error) => {
            tracing::error!(%error, "a body could not be coded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Bytes in a coding, at one of its levels. They are there as a whole, so Brotli is told how many there are.
///
/// # Errors
/// When the coder fails, which no bytes make it do.
pub async fn encode(plain: &[u8], coding: Coding, level: i32) -> io::Result<Vec<u8>> {
    let mut coded = Vec::new();
    let quality = Level::Precise(level);
    match coding {
        Coding::Identity => coded.extend_from_slice(plain),
        Coding::Gzip => _ = GzipEncoder::with_quality(plain, quality).read_to_end(&mut coded).await?,
        Coding::Zstd => _ = ZstdEncoder::with_quality(plain, quality).read_to_end(&mut coded).await?,
        Coding::Br => {
            let params = EncoderParams::default().quality(quality).size_hint(plain.len());
            _ = BrotliEncoder::with_params(plain, params).read_to_end(&mut coded).await?;
        }
    }
    Ok(coded)
}

fn suffixed(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let opaque = tag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{opaque}{}\"", coding.tag_suffix())).ok()
}

/// Adds a name to `Vary`, once.
pub(super) fn add_vary(headers: &mut HeaderMap, name: &'static str) {
    let given = headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    if given.flat_map(|line| line.split(',')).any(|given| given.trim().eq_ignore_ascii_case(name)) {
        return;
    }
    headers.append(VARY, HeaderValue::from_static(name));
}

/// Refuses what nothing can be answered to, and what cannot be read.
pub(super) fn check(headers: &HeaderMap, extensions: &Extensions) -> Result<(), ApiError> {
    if extensions.get::<Codings>().is_some_and(|codings| codings.preferred().is_none()) {
        let message = "Accept-Encoding refuses every coding that there is: br, zstd, gzip and none at all.";
        return Err(ApiError::new(Code::NotAcceptable, message));
    }
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let readable = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding == "gzip" || coding == "identity",
        (Some(_), Some(_)) => false,
    };
    if readable {
        return Ok(());
    }
    let message = "The body's Content-Encoding must be gzip, or there must be none.";
    let error = ApiError::new(Code::UnsupportedMediaType, message);
    Err(error.with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip")))
}

/// Unpacks gzipped request bodies. The body limit of the extractors counts what comes out of it.
pub(super) fn unpack() -> RequestDecompressionLayer {
    RequestDecompressionLayer::new().no_br().no_deflate().no_zstd()
}

/// Limits what goes into the unpacking: gzip can be long and yet hold nothing.
pub(super) async fn limit_encoded(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(CONTENT_ENCODING) {
        return next.run(request).await;
    }
    next.run(request.map(|body| Body::new(Limited::new(body, ENCODED_LIMIT)))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codings(accept: &'static str) -> Codings {
        Codings::of(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn the_client_chooses() {
        let cases = [
            ("", Some(Coding::Identity)),
            ("gzip", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Br)),
            ("gzip, zstd", Some(Coding::Zstd)),
            ("br;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("br; q=0.5 , gzip ;Q=0.501", Some(Coding::Gzip)),
            ("br;q=0", Some(Coding::Identity)),
            ("br;q=0.000, gzip;q=0.001", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", Some(Coding::Identity)),
            ("identity;q=0.5, gzip", Some(Coding::Gzip)),
            ("*", Some(Coding::Br)),
            ("*;q=0.5, gzip", Some(Coding::Gzip)),
            ("br;q=0, *", Some(Coding::Zstd)),
            ("deflate", Some(Coding::Identity)),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("deflate, *;q=0", None),
            ("identity;q=0, gzip", Some(Coding::Gzip)),
            ("*;q=0, zstd", Some(Coding::Zstd)),
            ("identity, *;q=0", Some(Coding::Identity)),
            // Malformed weights count as absent.
            ("gzip;q=2, br;q=x, zstd;q=0.1234", Some(Coding::Identity)),
            ("gzip;q=1.001", Some(Coding::Identity)),
            ("gzip;q=-1", Some(Coding::Identity)),
            ("gzip;level=9", Some(Coding::Identity)),
        ];
        for (accept, expected) in cases {
            assert_eq!(codings(accept).preferred(), expected, "{accept}");
        }
        assert_eq!(Codings::of(&HeaderMap::new()).preferred(), Some(Coding::Identity));
    }

    #[test]
    fn lines_are_one_list() {
        let headers = ["br;q=0.2", "gzip"].map(|line| (ACCEPT_ENCODING, HeaderValue::from_static(line)));
        let codings = Codings::of(&HeaderMap::from_iter(headers));
        assert_eq!(codings.preferred(), Some(Coding::Gzip));
        assert!(codings.accept(Coding::Identity) && !codings.accept(Coding::Zstd));
    }

    #[test]
    fn vary_names_each_header_once() {
        let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("Authorization, Accept-Encoding"))]);
        add_vary(&mut headers, "accept-encoding");
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
        add_vary(&mut headers, "Authorization-Info");
        assert_eq!(headers.get_all(VARY).iter().count(), 2);
    }
}
