//! Extractors whose refusals are in the error model.

use std::error::Error;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request, rejection::BytesRejection},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body_util::LengthLimitError;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{context::SlowBody, json};
use crate::{
    Id,
    error::{ApiError, Code},
};

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The `{id}` of the path.
#[derive(Debug)]
pub struct PathId(pub Id);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::validation("id", "is not valid UTF-8"))?;
        let raw = params.iter().find_map(|(name, value)| (name == "id").then_some(value)).unwrap_or_default();
        raw.parse().map(Self).map_err(|why| ApiError::validation("id", why))
    }
}

/// The query string. Parameters that the route does not know are ignored; a known one that is repeated is refused.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        json::from_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// A JSON body of `Content-Type: application/json`.
///
/// Limits: the route's body limit, depth 32, 500 elements an array. An error names the field.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Serialize, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body(request, state, &["application/json"]).await?;
        json::from_value(&Value::Object(json::object(&bytes)?)).map(Self)
    }
}

/// A JSON merge patch (RFC 7396): `application/merge-patch+json`, or plain `application/json`, which is all that some
/// HTTP libraries of phones send.
#[derive(Debug)]
pub struct MergePatch(pub serde_json::Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for MergePatch {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body(request, state, &["application/merge-patch+json", "application/json"]).await?;
        json::object(&bytes).map(Self)
    }
}

/// An object of `Content-Type: application/json`, or nothing: for a DELETE that may name a version.
#[derive(Debug)]
pub struct OptionalJson(pub serde_json::Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for OptionalJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(serde_json::Map::new()));
        }
        check_media_type(&Method::DELETE, &headers, &["application/json"])?;
        json::object(&bytes).map(Self)
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S, accepted: &[&'static str]) -> Result<Bytes, ApiError> {
    check_media_type(request.method(), request.headers(), accepted)?;
    read(request, state).await
}

/// `Accept-Post` and `Accept-Patch` tell what would have been accepted; the other methods have no such header.
fn check_media_type(method: &Method, headers: &HeaderMap, accepted: &[&'static str]) -> Result<(), ApiError> {
    if accepted.contains(&media_type(headers).as_str()) {
        return Ok(());
    }
    let list = accepted.join(", ");
    let error = ApiError::new(Code::UnsupportedMediaType, format!("The body must be {}.", accepted.join(" or ")));
    let header = match *method {
        Method::POST => ACCEPT_POST,
        Method::PATCH => ACCEPT_PATCH,
        _ => return Err(error),
    };
    Err(match HeaderValue::from_str(&list) {
        Ok(value) => error.with_header(header, value),
        Err(_) => error,
    })
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if is_too_large(&rejection) {
            return ApiError::new(Code::PayloadTooLarge, "The body is larger than this route takes.");
        }
        if caused_by::<SlowBody>(&rejection) {
            return ApiError::slow_body();
        }
        // The connection broke, the body was cut, or it does not unpack: nothing was read, nothing was done.
        ApiError::validation("body", "did not arrive whole").with_source(rejection)
    })
}

/// Whether the body is over the route's limit, or over the one that applies before it is unpacked.
fn is_too_large(rejection: &BytesRejection) -> bool {
    rejection.status() == StatusCode::PAYLOAD_TOO_LARGE || caused_by::<LengthLimitError>(rejection)
}

/// Whether an error of this type is behind it.
fn caused_by<E: Error + 'static>(rejection: &BytesRejection) -> bool {
    let mut causes = std::iter::successors(rejection.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    causes.any(<dyn Error>::is::<E>)
}

/// The media type without parameters, in lower case; empty when there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
