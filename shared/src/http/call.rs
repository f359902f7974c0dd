//! What a question to a service behind this one takes over from the request that it is asked for, and what the answer to
//! the request has to say of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::AGE, request::Parts};

use super::context::{Ends, RequestContext};
use crate::error::ApiError;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What this service calls itself in `Cache-Status`.
const CACHE: &str = "mobile-bff";

/// The deadline, id and trace of a request, for the questions that it leads to. Cheap to clone; clones share the note of
/// stale answers.
///
/// As an extractor, for handlers that ask a service.
#[derive(Clone, Debug)]
pub struct Call {
    context: RequestContext,
    ends: Instant,
    current: bool,
    stale: Arc<Mutex<Option<Stale>>>,
}

/// An answer that was kept from an earlier question, since this one failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// How long ago it was received.
    pub age: Duration,
    /// Whether the service was asked at all.
    pub asked: bool,
    /// What it answered, if it did.
    pub status: Option<StatusCode>,
    /// Why that was no use: a token of RFC 9651.
    pub reason: &'static str,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ends(ends) = Ends::from_request_parts(parts, state).await?;
        let context = parts.extensions.get::<RequestContext>().cloned();
        let context = context.ok_or_else(|| ApiError::internal("the request has no identity"))?;
        Ok(Self { context, ends, current: false, stale: Arc::default() })
    }
}

impl Call {
    /// The same for a part of the work that has less time.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { ends: self.ends.min(Instant::now() + limit), ..self.clone() }
    }

    /// The same for what must not be decided on an old answer: a write, or a price.
    #[must_use]
    pub fn current(&self) -> Self {
        Self { current: true, ..self.clone() }
    }

    /// When the answer must be there.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Whether an old answer will not do.
    pub fn must_be_current(&self) -> bool {
        self.current
    }

    /// The request's id and trace, as they are passed on.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let id = HeaderValue::from_str(self.context.request_id()).ok();
        let id = id.map(|id| (HeaderName::from_static("x-request-id"), id));
        id.into_iter().chain(self.context.trace().headers())
    }

    /// Notes that a part of the answer is an old one. Of several the oldest stands.
    pub fn note(&self, stale: Stale) {
        let mut noted = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.as_ref().is_none_or(|other| other.age < stale.age) {
            *noted = Some(stale);
        }
    }

    /// Says so in the headers of the answer: `Age` (RFC 9111) and `Cache-Status` (RFC 9211).
    pub fn describe(&self, headers: &mut HeaderMap) {
        let noted = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stale) = &*noted {
            headers.insert(AGE, stale.age.as_secs().into());
            headers.extend(HeaderValue::from_str(&stale.cache_status()).map(|value| (CACHE_STATUS, value)));
        }
    }
}

impl Stale {
    /// `mobile-bff; fwd=stale; fwd-status=500; ttl=-41; detail=status` when the service was asked, and
    /// `mobile-bff; hit; ttl=-41; detail=breaker` when it was not: `ttl` says for how long the answer has been too old.
    fn cache_status(&self) -> String {
        let Self { age, asked, status, reason } = self;
        let way = if *asked { "fwd=stale" } else { "hit" };
        let status = status.map_or(String::new(), |status| format!("; fwd-status={}", status.as_u16()));
        format!("{CACHE}; {way}{status}; ttl=-{}; detail={reason}", age.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use http::Extensions;

    use super::*;

    fn call() -> Call {
        let context = RequestContext::new(&HeaderMap::new(), &"/".parse().expect("legal"), &Extensions::new());
        let ends = Instant::now() + Duration::from_mins(1);
        Call { context, ends, current: false, stale: Arc::default() }
    }

    #[test]
    fn the_oldest_answer_stands_whichever_part_it_is_of() {
        let call = call();
        let mut headers = HeaderMap::new();
        call.describe(&mut headers);
        assert!(headers.is_empty());
        let stale = |seconds, asked, status| Stale {
            age: Duration::from_secs(seconds),
            asked,
            status,
            reason: if asked { "status" } else { "breaker" },
        };
        call.within(Duration::from_secs(1)).note(stale(41, true, Some(StatusCode::BAD_GATEWAY)));
        call.note(stale(7, false, None));
        call.describe(&mut headers);
        assert_eq!(headers["age"], "41");
        assert_eq!(headers["cache-status"], "mobile-bff; fwd=stale; fwd-status=502; ttl=-41; detail=status");
        assert_eq!(stale(7, false, None).cache_status(), "mobile-bff; hit; ttl=-7; detail=breaker");
    }

    #[test]
    fn a_part_ends_no_later_than_the_whole() {
        let call = call();
        assert!(call.within(Duration::from_secs(1)).ends() < call.ends());
        assert_eq!(call.within(Duration::from_hours(1)).ends(), call.ends());
        assert!(call.current().must_be_current() && !call.must_be_current());
    }
}
