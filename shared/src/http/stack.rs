//! The one middleware stack, in its one order.

use std::{
    any::Any,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use axum::{
    Router,
    body::HttpBody,
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    middleware::{Next, from_extractor, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    address::{self, Locator},
    auth::{Auth, Identity},
    cache, compress,
    context::{AwaitsBody, Deadline, Ends, Overloaded, RequestContext, ResponseLimit, Unreadable},
    cors, health,
    limit::{self, Limiter},
    record,
    share::{self, Share},
    versions::{self, Versions},
};
use crate::{
    config::Limits,
    error::{ApiError, Code},
    telemetry::timing,
};

/// Largest request body, in bytes, unless a route sets its own.
const BODY_LIMIT: usize = 64 * 1024;
/// Largest request target, in bytes.
const URI_LIMIT: usize = 8 * 1024;
/// Largest total of header names and values, in bytes.
const HEADERS_LIMIT: usize = 16 * 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the stack needs besides the routes.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Verifies bearer tokens.
    pub auth: Auth,
    /// Finds out where requests come from.
    pub locator: Locator,
    /// Counts requests.
    pub limiter: Limiter,
    /// Keeps answers that may be shared.
    pub share: Share,
    /// The end of versions.
    pub versions: Versions,
    /// Time limits.
    pub limits: Limits,
    /// The origins whose pages may read the answers.
    pub cors_origins: Vec<HeaderValue>,
    /// Where the documentation of the error codes lives, without a trailing slash.
    pub docs_url: Arc<str>,
}

impl Stack {
    /// Wraps route groups into the complete service.
    ///
    /// From the outside in:
    ///
    /// 1. `identify`: everything below logs and answers with the request's id. It sets what every answer has, errors
    ///    included.
    /// 2. `record`: one line of the log and one record of the metrics; outside all that can change status or size.
    /// 3. CORS where origins are named, on errors too.
    /// 4. `share`: gives coded answers again; outside all that makes them, inside all that is told of each request.
    /// 5. `negotiate`: codes every body, errors included; the tag of a coding needs the coding.
    /// 6. `render_errors`: the only place that gives an error its body; outside all that can fail.
    /// 7. `announce`: the end of a version is said on errors too, and refuses before any work is done.
    /// 8. panic: becomes an error like any other; inside 6 so that it gets a body.
    /// 9. `revalidate`: needs the representation before it is coded, and may refuse.
    /// 10. `refuse_oversized`: an answer that the front door would turn into a 502 of its own.
    /// 11. `Fit`: refuses what is too large, malformed or too much, before any work is done for the request.
    /// 12. `deadline`: bounds all that waits for something.
    /// 13. `locate`, `authenticate`: where from and by whom; handlers and later layers read the result.
    /// 14. `enforce`: the rate limit, which needs 13, and runs beside the handler of a read.
    /// 15. unpacking of the body, and its limit, which the extractors apply to what was unpacked.
    ///
    /// `/health` has none of these, and does what 1, 6 and 11 do itself: it is asked all the time, and nobody wants to read
    /// or pay for more.
    pub fn wrap(self, routes: Router) -> Router {
        // Joined into one: axum boxes what each `Router::layer` adds, and clones it for each layer around it.
        let layers = ServiceBuilder::new()
            .layer(from_fn(identify))
            .layer(from_fn(record::record))
            .option_layer(cors::layer(&self.cors_origins))
            .layer(from_fn_with_state(self.share, share::share))
            .layer(from_fn(compress::negotiate))
            .layer(from_fn_with_state(Arc::clone(&self.docs_url), render_errors))
            .layer(from_fn_with_state(self.versions, versions::announce))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(cache::revalidate))
            .layer(from_fn(refuse_oversized))
            .layer(from_extractor::<Fit>())
            .layer(from_fn_with_state(self.limits, deadline))
            .layer(from_fn_with_state(self.locator, address::locate))
            .layer(from_fn_with_state(self.auth, authenticate))
            .layer(from_fn_with_state(self.limiter, limit::enforce))
            .layer(from_fn(compress::limit_encoded))
            .layer(compress::unpack())
            .layer(DefaultBodyLimit::max(BODY_LIMIT));
        let health = health::router(self.docs_url);
        Router::new()
            .merge(routes)
            .fallback(unknown_route)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(layers)
            .merge(health)
    }
}

async fn unknown_route() -> ApiError {
    ApiError::not_found("There is no such route.")
}

/// axum adds the `Allow` header.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "This route exists, but not with this method; see the Allow header.")
}

async fn identify(mut request: Request, next: Next) -> Response {
    let context = RequestContext::new(request.headers(), request.uri(), request.extensions());
    request.extensions_mut().insert(context.clone());
    let mut response = next.run(request).await;
    set_common_headers(response.headers_mut(), Some(&context));
    response.extensions_mut().insert(context);
    response
}

/// What every answer has.
pub(crate) fn set_common_headers(headers: &mut HeaderMap, context: Option<&RequestContext>) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // A route that wants to be cached says so itself.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(context) = context {
        set_request_id(headers, context.request_id().to_owned());
    }
}

/// The header by which the client names the request to whoever reads the log.
pub(super) fn set_request_id(headers: &mut HeaderMap, id: String) {
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(X_REQUEST_ID, id);
    }
}

async fn render_errors(State(docs_url): State<Arc<str>>, request: Request, next: Next) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned();
    let response = next.run(request).await;
    match context {
        Some(context) => rendered(response, &context, &docs_url),
        None => response,
    }
}

/// An answer that has a body, should it be an error.
pub(super) fn rendered(response: Response, context: &RequestContext, docs_url: &str) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    // A failure without our error comes from the framework: same model, no details.
    let error = response.extensions().get::<ApiError>().cloned().unwrap_or_else(|| ApiError::from_status(status));
    let mut rendered = error.render(context, docs_url);
    // What layers further in have added, such as `Allow`. What describes the body is described anew.
    let described = [CONTENT_TYPE, CONTENT_LENGTH];
    for (name, value) in response.headers().iter().filter(|(name, _)| !described.contains(name)) {
        rendered.headers_mut().append(name, value.clone());
    }
    rendered.extensions_mut().insert(error);
    rendered
}

// The signature is the one that tower-http asks for.
#[allow(clippy::needless_pass_by_value)]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".into());
    ApiError::internal(format!("panic: {text}")).into_response()
}

/// A request that is neither too large, nor malformed, nor too much.
pub(super) struct Fit;

impl<S: Sync> FromRequestParts<S> for Fit {
    type Rejection = ApiError;

    async fn from_request_parts(Parts { uri, headers, extensions, .. }: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if extensions.get::<Overloaded>().is_some() {
            return Err(ApiError::new(Code::Unavailable, "The service is busy; try again shortly."));
        }
        if extensions.get::<Unreadable>().is_some() {
            return Err(ApiError::new(
                Code::ValidationError,
                "The request cannot be read: its target, host or body is malformed.",
            ));
        }
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > URI_LIMIT {
            let message = format!("The request target may have up to {URI_LIMIT} bytes.");
            return Err(ApiError::new(Code::UriTooLong, message));
        }
        // A token has a limit of its own, and an answer.
        let counted = headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
        let size: usize = counted.map(|(name, value)| name.as_str().len() + value.len()).sum();
        if size > HEADERS_LIMIT {
            let message = format!("The headers may have up to {HEADERS_LIMIT} bytes in all.");
            return Err(ApiError::new(Code::HeadersTooLarge, message));
        }
        compress::check(headers, extensions)?;
        Ok(Self)
    }
}

async fn refuse_oversized(request: Request, next: Next) -> Result<Response, ApiError> {
    let limit = request.extensions().get().map(|ResponseLimit(bytes)| *bytes);
    let response = next.run(request).await;
    match limit {
        Some(limit) if response.body().size_hint().lower() > limit => {
            Err(ApiError::internal(format!("the answer has more than the {limit} bytes that the front door takes")))
        }
        _ => Ok(response),
    }
}

/// Answers TIMEOUT ahead of the platform's own deadline, so that no front door makes up a body. When the time has gone by
/// with the client's body, it is the client that was too slow.
async fn deadline(State(limits): State<Limits>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let budget = match request.extensions().get::<Deadline>() {
        Some(Deadline(at)) => {
            let left = at.saturating_duration_since(Instant::now());
            limits.request.min(left.saturating_sub(limits.deadline_margin))
        }
        None => limits.request,
    };
    request.extensions_mut().insert(Ends(Instant::now() + budget));
    let awaits_body = request.extensions().get::<AwaitsBody>().cloned().unwrap_or_default();
    tokio::time::timeout(budget, next.run(request)).await.map_err(|_| {
        let client_is_slow = awaits_body.0.load(Ordering::Relaxed);
        if client_is_slow { ApiError::slow_body() } else { ApiError::timeout() }
    })
}

async fn authenticate(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    if request.headers().contains_key(AUTHORIZATION) {
        let identity = timing::part("auth", pin!(auth.identify(request.headers()))).await;
        request.extensions_mut().insert(identity);
    } else {
        request.extensions_mut().insert(Identity::Anonymous);
    }
    next.run(request).await
}
