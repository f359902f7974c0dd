//! Facts about the request that do not depend on the front door it came through.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, Uri, request::Parts};
use uuid::{Builder, Uuid};

use crate::{
    error::ApiError,
    telemetry::{spans::OwnSpan, trace::Trace},
};

/// When the platform ends the request, whatever state it is in. A runtime adapter puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// The address of the client as the front door saw it. A runtime adapter puts it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The platform's own id for the request. It becomes the request id when the client sends none.
#[derive(Clone, Debug)]
pub struct InvocationId(pub String);

/// Marks a request that a front door handed over in a state that nothing can be read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreadable;

/// Marks a request that comes on top of what this instance can do. A runtime adapter puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overloaded;

/// Why a body was not read to its end: the client has paused for too long. A runtime adapter lets the body fail with it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client paused for too long")]
pub(crate) struct SlowBody;

/// Whether the rest of the body has not come yet, and somebody waits for it. A runtime adapter puts it into the request's
/// extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct AwaitsBody(pub(crate) Arc<AtomicBool>);

/// When the answer must be there: the platform's deadline or the service's own, whichever comes first.
///
/// As an extractor, for handlers that divide their time.
#[derive(Clone, Copy, Debug)]
pub struct Ends(pub Instant);

impl<S: Sync> FromRequestParts<S> for Ends {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().copied().ok_or_else(|| ApiError::internal("the request has no deadline"))
    }
}

/// The longest body that the front door takes, in bytes. A runtime adapter puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct ResponseLimit(pub u64);

/// Marks the first request of a process. A runtime adapter puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColdStart;

/// The platform's id of the trace that the request belongs to. A runtime adapter puts it into the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct XrayTrace(pub(crate) String);

/// What a front door took off the path in front of what the service sees. A runtime adapter puts it into the request's
/// extensions.
#[derive(Clone, Debug)]
pub(crate) struct PathPrefix(pub(crate) String);

/// A version as a type.
pub trait Version: Send + Sync + 'static {
    /// The version as a value.
    const VERSION: ApiVersion;
}

/// Writes the enum of versions, and a type for each, from one table.
macro_rules! versions {
    ($($(#[$doc:meta])* $version:ident: $name:literal;)+) => {
        /// The version of the API that a path names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ApiVersion {
            $($(#[$doc])* $version,)+
        }

        impl ApiVersion {
            /// The version of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$version),)+
                    _ => None,
                }
            }

            /// The name, as it stands in a path.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$version => $name,)+
                }
            }
        }

        $(
            $(#[$doc])*
            ///
            /// As a type, for handlers that are generic over the version.
            #[derive(Clone, Copy, Debug)]
            pub struct $version;

            impl Version for $version {
                const VERSION: ApiVersion = ApiVersion::$version;
            }
        )+
    };
}

versions! {
    /// `/api/v1`
    V1: "v1";
    /// `/api/v2`
    V2: "v2";
}

impl ApiVersion {
    /// The version named by a path, if it names one.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::named(path.strip_prefix("/api/")?.split('/').next()?)
    }
}

/// Identity of one request: the id that log, response header and error body share, the path, the API version, the trace.
#[derive(Clone, Debug)]
pub struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: String,
    path: String,
    version: Option<ApiVersion>,
    trace: Trace,
}

impl RequestContext {
    /// Reads the id, path, version and trace of a request.
    pub(crate) fn new(headers: &HeaderMap, uri: &Uri, extensions: &Extensions) -> Self {
        let request_id = request_id(headers, extensions);
        let path = uri.path().to_owned();
        let version = ApiVersion::of_path(&path);
        let trace = Trace::of(headers, extensions.get().map(|XrayTrace(id)| id.as_str()));
        let trace = trace.within(extensions.get().map(|OwnSpan(own)| *own));
        Self(Arc::new(Inner { request_id, path, version, trace }))
    }

    /// The id of this request.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The request's path, without the query.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The version that the path names.
    pub fn version(&self) -> Option<ApiVersion> {
        self.0.version
    }

    /// The trace that the request belongs to.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }
}

/// The id of a request: the client's `X-Request-Id` if it is sane, else the platform's id, else a new UUID.
pub(super) fn request_id(headers: &HeaderMap, extensions: &Extensions) -> String {
    let sent = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    let platform = extensions.get().map(|InvocationId(id)| id.as_str());
    let sane = [sent, platform].into_iter().flatten().find(|id| is_sane(id));
    sane.map_or_else(new_id, str::to_owned)
}

fn new_id() -> String {
    let id = Builder::from_random_bytes(rand::random()).into_uuid();
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// An id goes into logs and headers: short, and without anything that could end a line or a field.
fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_comes_from_the_path_at_a_segment_boundary() {
        assert_eq!(ApiVersion::of_path("/api/v1/users/a"), Some(ApiVersion::V1));
        assert_eq!(ApiVersion::of_path("/api/v2"), Some(ApiVersion::V2));
        for none in ["/api/v10/users", "/health", "/v1/users", "/api/"] {
            assert_eq!(ApiVersion::of_path(none), None, "{none}");
        }
    }

    #[test]
    fn a_strange_request_id_is_replaced() {
        let uri = Uri::from_static("/health");
        let with = |value: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("x-request-id"),
                http::HeaderValue::from_static(value),
            )]);
            let mut extensions = Extensions::new();
            extensions.insert(InvocationId("platform".into()));
            RequestContext::new(&headers, &uri, &extensions).request_id().to_owned()
        };
        assert_eq!(with("phone-1"), "phone-1");
        assert_eq!(with("two words"), "platform");
        assert_eq!(with(""), "platform");
    }
}
