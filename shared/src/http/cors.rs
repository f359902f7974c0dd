//! Browsers on other origins ([CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)). Apps need nothing of it, so it is
//! off until origins are named.

use std::time::Duration;

use http::{
    HeaderName, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep the answer to its question: the most that Chromium takes.
const MAX_AGE: Duration = Duration::from_hours(2);

/// What a page may send besides what every page may.
const ALLOWED: [HeaderName; 9] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-app-version"),
    HeaderName::from_static("x-request-id"),
];

/// What a page may read besides what every page may.
const EXPOSED: [HeaderName; 11] = [
    ETAG,
    LINK,
    LOCATION,
    RETRY_AFTER,
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("deprecation"),
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("sunset"),
    HeaderName::from_static("x-request-id"),
];

/// The layer for these origins; none without any. Tokens go in a header, so cookies are never asked for.
pub(super) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.to_vec()))
            .allow_methods(methods)
            .allow_headers(ALLOWED)
            .expose_headers(EXPOSED)
            .max_age(MAX_AGE)
    })
}
