//! `GET /health`: whether the process lives. It asks nothing of anybody, and is asked all the time.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use super::{context::RequestContext, stack};
use crate::error::ApiError;

const BODY: &str = r#"{"status":"ok"}"#;

/// The route, as whole as the others are with their layers. It has none: they would take longer than the answer.
pub(super) fn router(docs_url: Arc<str>) -> Router {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, BODY.len().into());
    stack::set_common_headers(&mut headers, None);
    Router::new()
        .route("/health", get(answer))
        .method_not_allowed_fallback(refuse_method)
        .with_state(Arc::new(Health { docs_url, headers }))
}

/// What there is to answer with.
struct Health {
    docs_url: Arc<str>,
    /// The headers of a good answer: they are the same each time, but for the request's id.
    headers: HeaderMap,
}

impl Health {
    fn refuse(&self, error: ApiError, request: &Request) -> Response {
        let context = RequestContext::new(request.headers(), request.uri(), request.extensions());
        let mut response = stack::rendered(error.into_response(), &context, &self.docs_url);
        stack::set_common_headers(response.headers_mut(), Some(&context));
        response
    }
}

async fn answer(State(health): State<Arc<Health>>, request: Request) -> Response {
    if let Err(error) = stack::fits(request.uri(), request.headers(), request.extensions()) {
        return health.refuse(error, &request);
    }
    let mut response = Response::new(BODY.into());
    *response.headers_mut() = health.headers.clone();
    stack::set_request_id(response.headers_mut(), RequestContext::id(request.headers(), request.extensions()));
    response
}

async fn refuse_method(State(health): State<Arc<Health>>, request: Request) -> Response {
    health.refuse(stack::method_not_allowed().await, &request)
}
