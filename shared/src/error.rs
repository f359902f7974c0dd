//! The error model: one enum of codes, one struct, and the only place where an error becomes a response.
//!
//! A phone needs to know three things: what went wrong ([`Code`]), whether to try again (`retryable`) and when
//! (`retryAfter`, which always comes with the `Retry-After` header). Version 1 answers `application/json`; version 2 and
//! every path outside a version adds the members of RFC 9457 and answers `application/problem+json`.
//!
//! ```
//! use shared::{ApiError, Code};
//!
//! let error = ApiError::not_found("There is no order o-1.");
//! assert_eq!(error.code(), Code::NotFound);
//! assert!(!error.code().facts().retryable);
//! ```

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::context::{ApiVersion, RequestContext};

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Writes the enum, the list of all codes and their facts from one table.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident: $status:ident, $name:literal, $title:literal, $retry_after:expr;)+) => {
        /// What went wrong, as a client program reads it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)+
        }

        impl Code {
            /// Every code, by status.
            pub const ALL: &[Code] = &[$(Code::$code,)+];

            /// Status, name, title and retry advice.
            pub const fn facts(self) -> Facts {
                let (status, name, title, retry_after): (_, _, _, Option<u32>) = match self {
                    $(Code::$code => (StatusCode::$status, $name, $title, $retry_after),)+
                };
                Facts { status, name, title, retryable: retry_after.is_some(), retry_after }
            }
        }
    };
}

codes! {
    /// The request's path, query or body is not what the route takes.
    ValidationError: BAD_REQUEST, "VALIDATION_ERROR", "Invalid request", None;
    /// The `cursor` is not one that a list gave out.
    InvalidCursor: BAD_REQUEST, "INVALID_CURSOR", "Invalid cursor", None;
    /// The sync token was not made here for this caller.
    InvalidSyncToken: BAD_REQUEST, "INVALID_SYNC_TOKEN", "Invalid sync token", None;
    /// No credentials, or credentials that do not verify.
    Unauthenticated: UNAUTHORIZED, "UNAUTHENTICATED", "Not authenticated", None;
    /// The token was good once.
    TokenExpired: UNAUTHORIZED, "TOKEN_EXPIRED", "Token expired", None;
    /// Known caller, not allowed.
    Forbidden: FORBIDDEN, "FORBIDDEN", "Forbidden", None;
    /// No such resource, or not the caller's.
    NotFound: NOT_FOUND, "NOT_FOUND", "Not found", None;
    /// The path exists, the method does not; `Allow` lists those that do.
    MethodNotAllowed: METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed", None;
    /// `Accept-Encoding` refuses every coding that there is.
    NotAcceptable: NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "Not acceptable", None;
    /// The request came too slowly.
    RequestTimeout: REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "Request timeout", Some(1);
    /// The body's `version` is not the current one; `details` holds the server's copy.
    Conflict: CONFLICT, "CONFLICT", "Conflict", None;
    /// The sync token no longer leads to the present; `details.reason` says why. Sync from the start.
    SyncTokenExpired: GONE, "SYNC_TOKEN_EXPIRED", "Sync token expired", None;
    /// The version of the API is past its sunset; `Link` leads to its successor.
    VersionSunset: GONE, "VERSION_SUNSET", "Version no longer served", None;
    /// `If-Match` or `If-None-Match` did not hold; `details` holds the server's copy where there is one.
    PreconditionFailed: PRECONDITION_FAILED, "PRECONDITION_FAILED", "Precondition failed", None;
    /// The body is larger than the route takes.
    PayloadTooLarge: PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "Body too large", None;
    /// The request target is longer than 8 KiB.
    UriTooLong: URI_TOO_LONG, "URI_TOO_LONG", "Request target too long", None;
    /// The body's media type is not one that the route takes.
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type", None;
    /// The `Idempotency-Key` was used for another request.
    IdempotencyMismatch: UNPROCESSABLE_ENTITY, "IDEMPOTENCY_MISMATCH", "Idempotency key used before", None;
    /// A write that needs a version came without one.
    PreconditionRequired: PRECONDITION_REQUIRED, "PRECONDITION_REQUIRED", "Precondition required", None;
    /// Too many requests within 60 seconds. The wait is exact, and an answer has its own; this one is the longest.
    RateLimited: TOO_MANY_REQUESTS, "RATE_LIMITED", "Too many requests", Some(60);
    /// The request's headers are larger than 16 KiB in all.
    HeadersTooLarge: REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE", "Headers too large", None;
    /// A fault of this service.
    Internal: INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error", Some(5);
    /// A service or store behind this one failed.
    BackendError: BAD_GATEWAY, "BACKEND_ERROR", "Backend unavailable", Some(30);
    /// The store is throttling, or this instance is overloaded.
    Unavailable: SERVICE_UNAVAILABLE, "UNAVAILABLE", "Temporarily unavailable", Some(2);
    /// A deadline passed.
    Timeout: GATEWAY_TIMEOUT, "TIMEOUT", "Timeout", Some(5);
}

/// The fixed facts of a [`Code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// HTTP status.
    pub status: StatusCode,
    /// The code's name on the wire.
    pub name: &'static str,
    /// The title of RFC 9457.
    pub title: &'static str,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// Seconds to wait before a retry, unless the error says otherwise.
    pub retry_after: Option<u32>,
}

/// An error on its way to the client.
///
/// The message and the details are sent; the source is logged and never sent.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Parts>);

/// Boxed, so that a `Result` with an error is no larger than one without.
#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    message: String,
    details: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// In place of the code's own.
    retry_after: Option<u32>,
    source: Option<Source>,
}

impl ApiError {
    /// An error with a code and a sentence for the developer of the app.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Parts { code, message, details: None, headers: Vec::new(), retry_after: None, source: None }))
    }

    /// 400: one field, one reason.
    pub fn validation(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        let field = field.into();
        let message = format!("{field}: {reason}");
        let details = Value::Object(serde_json::Map::from_iter([(field, json!(reason.to_string()))]));
        Self::new(Code::ValidationError, message).with_details(details)
    }

    /// 401 with the challenge of RFC 6750. `reason` is `None` when there were no credentials at all.
    pub fn unauthenticated(reason: Option<&'static str>) -> Self {
        let Some(reason) = reason else {
            return Self::new(Code::Unauthenticated, "This route needs an Authorization header with a bearer token.")
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        };
        Self::new(Code::Unauthenticated, format!("The token was refused: {reason}.")).challenged(reason)
    }

    /// 401: the token is past its `exp`.
    pub fn token_expired() -> Self {
        Self::new(Code::TokenExpired, "The token has expired; get a new one and try again.")
            .challenged("it has expired")
    }

    fn challenged(self, reason: &'static str) -> Self {
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{reason}\"");
        match HeaderValue::from_str(&challenge) {
            Ok(value) => self.with_header(WWW_AUTHENTICATE, value),
            Err(_) => self,
        }
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// 500. The cause is logged, not sent.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "Something went wrong on our side.").with_source(source)
    }

    /// 502. The cause is logged, not sent.
    pub fn backend(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::BackendError, "A service behind this one is unavailable.").with_source(source)
    }

    /// 503. The cause is logged, not sent.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::Unavailable, "The service is busy; try again shortly.").with_source(source)
    }

    /// 504.
    pub fn timeout() -> Self {
        Self::new(Code::Timeout, "The request took too long.")
    }

    /// 408: what there was to read did not come in time.
    pub(crate) fn slow_body() -> Self {
        Self::new(Code::RequestTimeout, "The body came too slowly.")
    }

    /// 429: the next request passes after so many seconds.
    pub fn rate_limited(retry_after: u32) -> Self {
        let message = "There were too many requests; wait as long as retryAfter says.";
        Self::new(Code::RateLimited, message).with_retry_after(retry_after)
    }

    /// Names another wait than the code's own, in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Adds the `details` member.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Adds a response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The sentence that is sent.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details that are sent.
    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// The chain of causes for the log, never for the client.
    pub fn causes(&self) -> Option<String> {
        self.0.source.as_deref().map(|source| causes(source))
    }

    /// The members that every error has, for one that is a part of a larger answer.
    pub fn summary(&self) -> Summary<'_> {
        let facts = self.0.code.facts();
        Summary {
            code: facts.name,
            message: &self.0.message,
            retryable: facts.retryable,
            retry_after: self.retry_after(),
            details: self.0.details.as_ref(),
        }
    }

    /// Seconds to wait before a retry; none where one is no use.
    pub fn retry_after(&self) -> Option<u32> {
        self.0.retry_after.or(self.0.code.facts().retry_after)
    }

    /// The error that stands for a bare status, for a response that something outside our handlers made.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let known = Code::ALL.iter().copied().find(|code| code.facts().status == status);
        let other = if status.is_server_error() { Code::Internal } else { Code::ValidationError };
        let code = known.unwrap_or(other);
        Self::new(code, format!("{}.", code.facts().title))
    }

    /// The response as it leaves: body by the caller's API version, and the headers that belong to the error.
    pub(crate) fn render(&self, context: &RequestContext, docs_url: &str) -> Response {
        let facts = self.0.code.facts();
        let problem = (context.version() != Some(ApiVersion::V1)).then(|| Problem {
            kind: format!("{docs_url}/errors#{}", facts.name.to_ascii_lowercase().replace('_', "-")),
            title: facts.title,
            status: facts.status.as_u16(),
            detail: &self.0.message,
            instance: context.path(),
        });
        let content_type = if problem.is_some() { "application/problem+json" } else { "application/json" };
        let body = Body { summary: self.summary(), request_id: context.request_id(), problem };
        // Strings and JSON values always serialise; an empty body would still carry status and headers.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (facts.status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &self.0.headers {
            headers.append(name, value.clone());
        }
        response
    }
}

/// An error and what caused it, in one line for the log.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Leaves the body to the error layer of the stack, which knows the request's id, version and path.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.code.facts().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What went wrong and whether to try again, as it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary<'a> {
    code: &'static str,
    message: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    request_id: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    problem: Option<Problem<'a>>,
}

/// The members of RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_every_retry_has_a_wait() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.facts().name).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let facts = code.facts();
            assert_eq!(facts.retryable, facts.retry_after.is_some(), "{code:?}");
            let later = facts.status.is_server_error() || matches!(code, Code::RateLimited | Code::RequestTimeout);
            assert_eq!(facts.retryable, later, "{code:?}");
        }
    }

    #[test]
    fn causes_are_chained_for_the_log() {
        let inner = std::io::Error::other("connection refused");
        let error = ApiError::backend(inner);
        assert_eq!(error.causes().as_deref(), Some("connection refused"));
        assert!(!error.message().contains("refused"));
    }
}
