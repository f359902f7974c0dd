//! Content codings (RFC 9110, section 8.4): which one an answer gets, and gzipped request bodies.
//!
//! `tower-http` does the coding. What it leaves open is decided here: a request that accepts nothing we have is refused
//! before a handler runs, and each coding has an entity tag of its own.

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY},
};
use http_body_util::{BodyExt, Limited};
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, Predicate},
    decompression::RequestDecompressionLayer,
};

use super::record::PlainSize;
use crate::error::{ApiError, Code};

/// Below this size an answer fits into one packet anyway, and a coding costs more than it saves.
const SMALLEST: u64 = 1024;
/// Largest encoded request body, in bytes. What it holds has the route's own limit.
const ENCODED_LIMIT: usize = 1024 * 1024;

/// A content coding that answers may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
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

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Br => "br",
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

/// What is coded: text of some length, or of any where the client refuses text as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worthwhile;

impl Predicate for Worthwhile {
    fn should_compress<B: HttpBody>(&self, response: &http::Response<B>) -> bool {
        let refused = |codings: &Codings| !codings.accept(Coding::Identity);
        let large = response.body().size_hint().lower() >= SMALLEST;
        is_codable(response.headers(), response.extensions())
            && (large || response.extensions().get::<Codings>().is_some_and(refused))
    }
}

/// Text compresses; images are compressed already.
fn is_codable(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = ["application/json", "application/problem+json", "text/"];
    extensions.get::<Uncoded>().is_none() && text.iter().any(|kind| media_type.starts_with(kind))
}

/// One layer for each coding, since each has a level of its own; `bench compression` measures them.
/// `negotiate` leaves exactly one of them something to do.
pub(super) fn layers() -> [CompressionLayer<Worthwhile>; 3] {
    let of = |layer: CompressionLayer, level| {
        layer.no_deflate().quality(CompressionLevel::Precise(level)).compress_when(Worthwhile)
    };
    let all = CompressionLayer::new;
    [of(all().no_gzip().no_zstd(), 5), of(all().no_br().no_gzip(), 1), of(all().no_br().no_zstd(), 6)]
}

/// Chooses the coding on the way in; on the way out gives it its tag, and the body its length.
pub(super) async fn negotiate(mut request: Request, next: Next) -> Response {
    let codings = Codings::of(request.headers());
    let head = request.method() == Method::HEAD;
    match codings.preferred() {
        None | Some(Coding::Identity) => request.headers_mut().remove(ACCEPT_ENCODING),
        Some(coding) => request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(coding.name())),
    };
    request.extensions_mut().insert(codings);

    let mut response = next.run(request).await;

    let coding = response.headers().get(CONTENT_ENCODING).and_then(|name| Coding::named(name.to_str().ok()?));
    let Some(coding) = coding else { return response };
    if let Some(tag) = response.headers().get(ETAG).and_then(|tag| suffixed(tag, coding)) {
        response.headers_mut().insert(ETAG, tag);
    }
    if head { response } else { whole(response).await }
}

/// Reads a coded body to its end, so that it has a length for the client and for the log.
async fn whole(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        // What is coded is in memory, so nothing breaks off on the way; but half a body must never go out as a whole.
        Err(error) => {
            tracing::error!(%error, "a body could not be coded");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Response::from_parts(parts, Body::from(bytes))
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

/// Inside of the coding: tells it what the client refuses, caches what the answer depends on, coded or not, and the log
/// how long it was.
pub(super) async fn tell(request: Request, next: Next) -> Response {
    let codings = request.extensions().get::<Codings>().copied();
    let mut response = next.run(request).await;
    if let Some(codings) = codings {
        response.extensions_mut().insert(codings);
    }
    let size = response.body().size_hint().exact().unwrap_or_default();
    response.extensions_mut().insert(PlainSize(size));
    if is_codable(response.headers(), response.extensions()) {
        add_vary(response.headers_mut(), "Accept-Encoding");
    }
    response
}

/// Refuses what nothing can be answered to, and what cannot be read.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    if request.extensions().get::<Codings>().is_some_and(|codings| codings.preferred().is_none()) {
        let message = "Accept-Encoding refuses every coding that there is: br, zstd, gzip and none at all.";
        return Err(ApiError::new(Code::NotAcceptable, message));
    }
    let mut codings = request.headers().get_all(CONTENT_ENCODING).iter();
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
