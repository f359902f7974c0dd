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

use super::{
    context::{self, RequestContext},
    stack::{self, Fit},
};
use crate::error::ApiError;

const BODY: &str = r#"{"status":"ok"}"#;

/// The route. It has no layers, which would take longer than the answer, and does itself what they would: the common
/// headers, the request's id, the refusal of what does not fit, the body of an error.
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

async fn answer(State(health): State<Arc<Health>>, fit: Result<Fit, ApiError>, request: Request) -> Response {
    if let Err(error) = fit {
        return health.refuse(error, &request);
    }
    let mut response = Response::new(BODY.into());
    *response.headers_mut() = health.headers.clone();
    stack::set_request_id(response.headers_mut(), context::request_id(request.headers(), request.extensions()));
    response
}

async fn refuse_method(State(health): State<Arc<Health>>, fit: Result<Fit, ApiError>, request: Request) -> Response {
    let error = match fit {
        Ok(Fit) => stack::method_not_allowed().await,
        Err(error) => error,
    };
    health.refuse(error, &request)
}
