//! Which version of a resource a write is based on (RFC 9110, section 13; RFC 6585, section 3).
//!
//! An entity tag of a versioned resource starts with its version: `"7"`, or `"7-…"` once a hash of the
//! representation follows. A client may also put the version into the body, as sync clients do.

use axum::extract::FromRequestParts;
use http::{
    HeaderMap, HeaderValue,
    header::{IF_MATCH, IF_NONE_MATCH},
    request::Parts,
};

use serde_json::{Value, json};

use crate::error::{ApiError, Code};

/// The conditional headers of a write, before they meet the body's `version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    if_match: Option<IfMatch>,
    if_none_match_any: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum IfMatch {
    Any,
    /// Versions out of the strong tags. A tag that is not ours or is weak matches nothing and is not kept.
    Versions(Vec<u64>),
}

/// What a write expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The state that the client saw.
    pub state: State,
    /// Where the client said so; it decides between 409 and 412.
    pub said_in: SaidIn,
}

/// The state that a client bases its write on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing there: a create.
    Absent,
    /// One of these versions. None at all, for tags that are not tags of this resource, cannot hold.
    Versions(Vec<u64>),
    /// Anything, as long as there is something.
    Present,
}

/// Where a client named the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidIn {
    /// `If-Match` or `If-None-Match`: a failure is 412.
    Header,
    /// The body's `version`: a failure is 409.
    Body,
}

impl<S: Sync> FromRequestParts<S> for Preconditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::from_headers(&parts.headers)
    }
}

impl Preconditions {
    fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let if_match = list(headers, &IF_MATCH)?
            .map(|tags| if tags.trim() == "*" { IfMatch::Any } else { IfMatch::Versions(versions(&tags)) });
        let if_none_match_any = match list(headers, &IF_NONE_MATCH)? {
            None => false,
            Some(tags) if tags.trim() == "*" => true,
            Some(_) => return Err(ApiError::validation("If-None-Match", "a write takes only the value *")),
        };
        if if_match.is_some() && if_none_match_any {
            return Err(ApiError::validation("If-None-Match", "excludes If-Match"));
        }
        Ok(Self { if_match, if_none_match_any })
    }

    /// Joins headers and body; `None` when neither says anything.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when the two contradict each other.
    pub fn join(&self, body_version: Option<u64>) -> Result<Option<Expected>, ApiError> {
        let header = if self.if_none_match_any {
            Some(State::Absent)
        } else {
            self.if_match.as_ref().map(|if_match| match if_match {
                IfMatch::Any => State::Present,
                IfMatch::Versions(versions) => State::Versions(versions.clone()),
            })
        };
        let body =
            body_version.map(|version| if version == 0 { State::Absent } else { State::Versions(vec![version]) });
        match (header, body) {
            (Some(header), Some(body)) if !header.agrees_with(&body) => {
                Err(ApiError::validation("version", "contradicts the If-Match or If-None-Match header"))
            }
            // Of a list of tags, the body may pick one.
            (Some(State::Versions(listed)), Some(body)) if !listed.is_empty() => {
                Ok(Some(Expected { state: body, said_in: SaidIn::Header }))
            }
            (Some(state), _) => Ok(Some(Expected { state, said_in: SaidIn::Header })),
            (None, Some(state)) => Ok(Some(Expected { state, said_in: SaidIn::Body })),
            (None, None) => Ok(None),
        }
    }

    /// Like [`join`](Self::join), for a write that must not go unconditional.
    ///
    /// # Errors
    /// Also `PRECONDITION_REQUIRED` when neither headers nor body name a version.
    pub fn require(&self, body_version: Option<u64>) -> Result<Expected, ApiError> {
        self.join(body_version)?.ok_or_else(|| {
            let message = "This write needs the version it is based on: an If-Match header or a version in the body.";
            ApiError::new(Code::PreconditionRequired, message)
        })
    }
}

impl State {
    /// Whether the state holds for a resource with this version; `None` when there is no such resource.
    pub fn holds(&self, current: Option<u64>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Versions(versions) => current.is_some_and(|current| versions.contains(&current)),
            Self::Present => current.is_some(),
        }
    }

    /// Whether the state held one version ago: the mark of a retry whose first answer was lost.
    pub fn held_before(&self, current: u64) -> bool {
        match self {
            Self::Absent => current == 1,
            Self::Versions(versions) => versions.iter().any(|version| version.checked_add(1) == Some(current)),
            Self::Present => false,
        }
    }

    fn agrees_with(&self, body: &Self) -> bool {
        match (self, body) {
            (Self::Versions(listed), Self::Versions(said)) => {
                listed.is_empty() || said.iter().all(|v| listed.contains(v))
            }
            (Self::Present, Self::Versions(_)) => true,
            (header, body) => header == body,
        }
    }
}

impl Expected {
    /// The answer to a write whose expectation failed: 409 for a version in the body, 412 for one in a header.
    pub fn refuse(&self, copy: ServerCopy) -> ApiError {
        let (code, message) = match self.said_in {
            SaidIn::Body => (Code::Conflict, "The resource has changed since the version that this write is based on."),
            SaidIn::Header => (Code::PreconditionFailed, "The resource is not at the version that the header names."),
        };
        copy.in_conflict(code, message)
    }
}

/// What the server has, as the caller may see it: the details of a conflict.
#[derive(Clone, Debug)]
pub struct ServerCopy {
    /// The current version; 0 when there never was one.
    pub version: u64,
    /// The current state, in the caller's own view.
    pub current: Value,
}

impl ServerCopy {
    /// An error that carries this copy.
    pub fn in_conflict(self, code: Code, message: &str) -> ApiError {
        ApiError::new(code, message).with_details(json!({ "currentVersion": self.version, "current": self.current }))
    }
}

/// The entity tag of a version.
pub fn etag(version: u64) -> HeaderValue {
    // Digits and quotes are always a legal header value.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// All lines of a list header as one.
fn list(headers: &HeaderMap, name: &http::HeaderName) -> Result<Option<String>, ApiError> {
    let lines = headers.get_all(name).iter().map(HeaderValue::to_str).collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|_| ApiError::validation(name.as_str(), "is not ASCII text"))?;
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

fn versions(tags: &str) -> Vec<u64> {
    tags.split(',').filter_map(|tag| version(tag.trim())).collect()
}

fn version(tag: &str) -> Option<u64> {
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    let digits = inner.split_once('-').map_or(inner, |(version, _hash)| version);
    // `parse` alone would also take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<Preconditions, ApiError> {
        let headers = pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), HeaderValue::from_static(v)));
        Preconditions::from_headers(&headers.collect())
    }

    fn joined(pairs: &[(&'static str, &'static str)], body: Option<u64>) -> Option<(State, SaidIn)> {
        let expected = read(pairs).expect("readable").join(body).expect("no contradiction");
        expected.map(|expected| (expected.state, expected.said_in))
    }

    #[test]
    fn headers_and_body_name_the_same_states() {
        type Case = (&'static [(&'static str, &'static str)], Option<u64>, Option<(State, SaidIn)>);
        let versions = |versions: &[u64]| State::Versions(versions.into());
        let cases: Vec<Case> = vec![
            (&[], None, None),
            (&[], Some(0), Some((State::Absent, SaidIn::Body))),
            (&[], Some(7), Some((versions(&[7]), SaidIn::Body))),
            (&[("if-none-match", "*")], None, Some((State::Absent, SaidIn::Header))),
            (&[("if-match", "*")], None, Some((State::Present, SaidIn::Header))),
            (&[("if-match", "\"7\"")], None, Some((versions(&[7]), SaidIn::Header))),
            (&[("if-match", "\"7-c0ffee\"")], Some(7), Some((versions(&[7]), SaidIn::Header))),
            (&[("if-match", "\"6\", \"7\"")], None, Some((versions(&[6, 7]), SaidIn::Header))),
            (&[("if-match", "\"6\", \"7\"")], Some(6), Some((versions(&[6]), SaidIn::Header))),
            // Weak tags never match in If-Match (RFC 9110, section 13.1.1), nor do tags that are not ours.
            (&[("if-match", "W/\"7\"")], None, Some((versions(&[]), SaidIn::Header))),
            (&[("if-match", "\"abc\"")], None, Some((versions(&[]), SaidIn::Header))),
            (&[("if-match", "\"+7\"")], None, Some((versions(&[]), SaidIn::Header))),
            (&[("if-match", "7")], None, Some((versions(&[]), SaidIn::Header))),
        ];
        for (headers, body, expected) in &cases {
            assert_eq!(joined(headers, *body), *expected, "{headers:?} {body:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(read(&[("if-match", "\"7\"")]).expect("readable").join(Some(8)).is_err());
        assert!(read(&[("if-none-match", "*")]).expect("readable").join(Some(8)).is_err());
        assert!(read(&[("if-match", "*"), ("if-none-match", "*")]).is_err());
        assert!(read(&[("if-none-match", "\"7\"")]).is_err());
        assert_eq!(read(&[]).expect("empty").require(None).expect_err("428").code(), Code::PreconditionRequired);
    }

    #[test]
    fn states_hold_against_the_current_version() {
        let listed = State::Versions(vec![2, 9]);
        assert!(State::Absent.holds(None) && !State::Absent.holds(Some(1)));
        assert!(listed.holds(Some(2)) && listed.holds(Some(9)) && !listed.holds(Some(3)) && !listed.holds(None));
        assert!(State::Present.holds(Some(9)) && !State::Present.holds(None));
        assert!(!State::Versions(vec![]).holds(Some(1)) && !State::Versions(vec![]).holds(None));
        assert!(listed.held_before(3) && !listed.held_before(2) && State::Absent.held_before(1));
        assert!(!State::Versions(vec![u64::MAX]).held_before(0));
    }
}
