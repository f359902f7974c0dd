//! Caching by clients and on the way to them (RFC 9110, section 13; RFC 9111; RFC 5861).
//!
//! A route says with [`public`] or [`private`] who may keep its answers; what says nothing may be kept by nobody. The
//! entity tag is a hash of the representation, behind the version of the resource where it has one: `"7-6Ij…"`. Each
//! content coding adds its own name: `"7-6Ij…-br"`.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request, State},
    middleware::{Next, map_response_with_state},
    response::Response,
    routing::MethodRouter,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH},
    request::Parts,
};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::compress::{Coding, Codings, add_vary};
use crate::error::{ApiError, Code};

/// A minute in phones, five in shared caches; a day when the service is down.
const SHARED: HeaderValue =
    HeaderValue::from_static("public, max-age=60, s-maxage=300, stale-while-revalidate=60, stale-if-error=86400");
/// The same content for a request with a token: nothing that belongs to a caller may enter a shared cache.
const SHARED_TO_A_CALLER: HeaderValue =
    HeaderValue::from_static("private, max-age=60, stale-while-revalidate=60, stale-if-error=86400");
/// Kept by the caller's own phone, and asked for anew each time.
const OWN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Bytes of a hash in a tag.
const HASH_BYTES: usize = 16;

/// Who may keep a route's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cacheable {
    /// Everybody: the answer is the same for all callers.
    Publicly,
    /// The caller.
    Privately,
}

/// Lets shared caches keep the answers of a route. They must not depend on the caller.
pub fn public<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> MethodRouter<S> {
    mark(route, Cacheable::Publicly)
}

/// Lets a caller's own cache keep the answers of a route, except those that have a `Cache-Control` already.
pub fn private<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> MethodRouter<S> {
    mark(route, Cacheable::Privately)
}

fn mark<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>, cacheable: Cacheable) -> MethodRouter<S> {
    route.layer(map_response_with_state(
        cacheable,
        async |State(cacheable): State<Cacheable>, mut response: Response| {
            response.extensions_mut().insert(cacheable);
            response
        },
    ))
}

/// Whether an answer will be one that shared caches may keep; such a one must say nothing about the caller.
pub(super) fn will_be_shared(response: &Response, has_token: bool) -> bool {
    let kept = matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED);
    kept && !has_token && cacheable(response) == Some(Cacheable::Publicly)
}

/// What the route allows, unless the handler has decided for this answer.
fn cacheable(response: &Response) -> Option<Cacheable> {
    let decided = response.headers().contains_key(CACHE_CONTROL);
    response.extensions().get().copied().filter(|_| !decided)
}

impl Cacheable {
    fn describe(self, headers: &mut HeaderMap, has_token: bool) {
        let policy = match (self, has_token) {
            (Self::Publicly, false) => SHARED,
            (Self::Publicly, true) => SHARED_TO_A_CALLER,
            (Self::Privately, _) => OWN,
        };
        headers.insert(CACHE_CONTROL, policy);
        if self == Self::Privately {
            add_vary(headers, "Authorization");
        }
        add_vary(headers, "Accept-Encoding");
    }
}

/// An entity tag of ours, without the suffix of a coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// The tag of a state that is known without its representation: a hash of everything that it depends on.
    pub fn of_state(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With its length, so that no two lists of parts run together.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(format!("s.{}", encoded(&hash.finalize())))
    }

    /// The tag of a representation, behind the version that the handler named or in place of nothing. Any other tag of
    /// a handler stands.
    fn of_representation(named: Option<&HeaderValue>, body: &[u8]) -> Self {
        let named = named.and_then(|tag| tag.to_str().ok()?.strip_prefix('"')?.strip_suffix('"'));
        let hash = || encoded(&Sha256::digest(body));
        Self(match named {
            None => hash(),
            Some(version) if version.bytes().all(|byte| byte.is_ascii_digit()) => format!("{version}-{}", hash()),
            Some(other) => other.to_owned(),
        })
    }

    /// As the value of a header.
    pub fn value(&self) -> HeaderValue {
        // Base64 and digits are always a legal header value.
        HeaderValue::from_str(&format!("\"{}\"", self.0)).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

fn encoded(hash: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&hash[..HASH_BYTES])
}

/// The conditional headers of a read.
///
/// As an extractor for handlers that know the tag before they have the representation.
#[derive(Clone, Debug)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    codings: Codings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// Each with whether it is weak.
    List(Vec<(bool, String)>),
}

/// What the conditions of a read come to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    /// Send the representation.
    Hold,
    /// `If-None-Match` did not hold: the client has it. The tag as the client wrote it.
    Unmodified(HeaderValue),
    /// `If-Match` did not hold.
    Failed,
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers, parts.extensions.get().copied()))
    }
}

impl Conditions {
    fn of(headers: &HeaderMap, codings: Option<Codings>) -> Self {
        Self {
            if_match: Tags::of(headers, &IF_MATCH),
            if_none_match: Tags::of(headers, &IF_NONE_MATCH),
            codings: codings.unwrap_or_else(|| Codings::of(headers)),
        }
    }

    /// Whether the request has any, so that looking for a tag first can pay.
    pub const fn are_named(&self) -> bool {
        self.if_none_match.is_some()
    }

    /// The answer to a client that has the representation with this tag: 304, before the work of making it.
    pub fn unmodified(&self, tag: &Tag) -> Option<Response> {
        match self.judge(tag) {
            Judgement::Unmodified(tag) => Some(not_modified(Response::default(), tag)),
            Judgement::Hold | Judgement::Failed => None,
        }
    }

    /// RFC 9110, section 13.2.2, without dates: nothing here has a `Last-Modified`.
    fn judge(&self, tag: &Tag) -> Judgement {
        let codings = || Coding::ALL.into_iter().filter(|coding| self.codings.accept(*coding));
        // Of the codings that the client accepts, we select the one that it has.
        let is_ours = |given: &str| codings().any(|c| given.strip_suffix(c.tag_suffix()) == Some(&tag.0));
        match &self.if_match {
            Some(Tags::List(given)) if !given.iter().any(|(weak, opaque)| !weak && is_ours(opaque)) => {
                return Judgement::Failed;
            }
            _ => {}
        }
        match &self.if_none_match {
            None => Judgement::Hold,
            Some(Tags::Any) => Judgement::Unmodified(tag.value()),
            Some(Tags::List(given)) => {
                given.iter().find(|(_, opaque)| is_ours(opaque)).map_or(Judgement::Hold, |(weak, opaque)| {
                    // As the client's cache knows it: CloudFront makes weak tags of ours and looks for them again.
                    let as_given = format!("{}\"{opaque}\"", if *weak { "W/" } else { "" });
                    Judgement::Unmodified(HeaderValue::from_str(&as_given).unwrap_or_else(|_| tag.value()))
                })
            }
        }
    }
}

impl Tags {
    /// All lines of the header as one list; what is malformed ends it.
    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
        if lines.is_empty() {
            return None;
        }
        let lines = lines.join(",");
        if lines.trim() == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = lines.as_str();
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            let (weak, tag) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
            // A tag may have commas inside.
            let Some((opaque, behind)) = tag.strip_prefix('"').and_then(|tag| tag.split_once('"')) else { break };
            tags.push((weak, opaque.to_owned()));
            rest = behind;
        }
        Some(Self::List(tags))
    }
}

/// Turns an answer into a 304 with the headers that go into the client's stored one.
fn not_modified(mut response: Response, tag: HeaderValue) -> Response {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Body::empty();
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(ETAG, tag);
    response
}

/// Tags what may be kept, says by whom, and answers a client that has it already.
pub(super) async fn revalidate(request: Request, next: Next) -> Result<Response, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(next.run(request).await);
    }
    let has_token = request.headers().contains_key(AUTHORIZATION);
    let conditions = Conditions::of(request.headers(), request.extensions().get().copied());
    let mut response = next.run(request).await;
    let Some(cacheable) = cacheable(&response) else { return Ok(response) };
    match response.status() {
        StatusCode::NOT_MODIFIED => {
            cacheable.describe(response.headers_mut(), has_token);
            Ok(response)
        }
        StatusCode::OK => {
            cacheable.describe(response.headers_mut(), has_token);
            judged(response, &conditions).await
        }
        _ => Ok(response),
    }
}

async fn judged(response: Response, conditions: &Conditions) -> Result<Response, ApiError> {
    let (mut parts, body) = response.into_parts();
    let body: Bytes = body.collect().await.map_err(ApiError::internal)?.to_bytes();
    let tag = Tag::of_representation(parts.headers.get(ETAG), &body);
    parts.headers.insert(ETAG, tag.value());
    let response = Response::from_parts(parts, Body::from(body));
    match conditions.judge(&tag) {
        Judgement::Hold => Ok(response),
        Judgement::Unmodified(tag) => Ok(not_modified(response, tag)),
        Judgement::Failed => {
            let message = "The resource is not the one that If-Match names.";
            Err(ApiError::new(Code::PreconditionFailed, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(pairs: &[(&'static str, &'static str)]) -> Conditions {
        let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        Conditions::of(&pairs.collect(), None)
    }

    fn tag(opaque: &str) -> Tag {
        Tag(opaque.to_owned())
    }

    #[test]
    fn a_tag_is_a_hash_behind_the_version() {
        let tag = |named: Option<&'static str>, body: &[u8]| {
            Tag::of_representation(named.map(HeaderValue::from_static).as_ref(), body).0
        };
        assert_eq!(tag(None, b"a").len(), 22);
        assert_ne!(tag(None, b"a"), tag(None, b"b"));
        assert_eq!(tag(Some("\"7\""), b"a"), format!("7-{}", tag(None, b"a")));
        assert_eq!(tag(Some("\"s.x\""), b"a"), "s.x");
        assert_ne!(Tag::of_state(&["ab", "c"]), Tag::of_state(&["a", "bc"]));
    }

    #[test]
    fn the_client_has_it_or_not() {
        let held = |tags: &'static str| conditions(&[("if-none-match", tags)]).judge(&tag("7-x"));
        for same in ["\"7-x\"", "W/\"7-x\"", "\"6\", \"7-x\"", "\"a,b\" , W/\"7-x\"", ",\t\"7-x\","] {
            assert!(matches!(held(same), Judgement::Unmodified(_)), "{same}");
        }
        for other in ["\"7\"", "\"7-X\"", "7-x", "\"7-x", "", "w/\"7-x\"", "*, \"7\"", "\"7-x-br\""] {
            assert_eq!(held(other), Judgement::Hold, "{other}");
        }
        assert_eq!(held("*"), Judgement::Unmodified(HeaderValue::from_static("\"7-x\"")));
        assert_eq!(held("W/\"7-x\""), Judgement::Unmodified(HeaderValue::from_static("W/\"7-x\"")));
    }

    /// The tag of a coding is that of a representation which only a client that accepts the coding can use.
    #[test]
    fn a_coding_that_the_client_has_is_selected_if_it_accepts_it() {
        let held =
            |accept, given| conditions(&[("accept-encoding", accept), ("if-none-match", given)]).judge(&tag("7-x"));
        let unmodified = |value| Judgement::Unmodified(HeaderValue::from_static(value));
        assert_eq!(held("gzip, br", "\"7-x-br\""), unmodified("\"7-x-br\""));
        assert_eq!(held("gzip, br", "\"7-x-gzip\""), unmodified("\"7-x-gzip\""));
        assert_eq!(held("gzip, br", "\"7-x\""), unmodified("\"7-x\""));
        assert_eq!(held("br", "\"7-x-gzip\""), Judgement::Hold);
        assert_eq!(held("br, identity;q=0", "\"7-x\""), Judgement::Hold);
    }

    #[test]
    fn if_match_compares_strongly_and_goes_first() {
        let judge = |pairs| conditions(pairs).judge(&tag("7-x"));
        assert_eq!(judge(&[("if-match", "\"7-x\"")]), Judgement::Hold);
        assert_eq!(judge(&[("if-match", "*")]), Judgement::Hold);
        assert_eq!(judge(&[("if-match", "W/\"7-x\"")]), Judgement::Failed);
        assert_eq!(judge(&[("if-match", "\"6\"")]), Judgement::Failed);
        assert_eq!(judge(&[("if-match", "\"6\""), ("if-none-match", "\"7-x\"")]), Judgement::Failed);
        assert!(matches!(judge(&[("if-match", "\"7-x\""), ("if-none-match", "\"7-x\"")]), Judgement::Unmodified(_)));
    }
}
