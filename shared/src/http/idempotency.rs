//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use http::{HeaderName, HeaderValue, request::Parts};
use serde::Serialize;

use crate::{delta::Once, error::ApiError};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Marks an answer that an earlier request with the same key has made.
pub const IDEMPOTENT_REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
/// Longest key, in bytes.
const MAX_BYTES: usize = 255;

/// The client's key for this request, if it sends one: 1 to 255 visible ASCII characters, in quotes or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(ApiError::validation("Idempotency-Key", "comes more than once"));
        }
        let key = value.to_str().unwrap_or_default();
        let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
        if !(1..=MAX_BYTES).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
            return Err(ApiError::validation("Idempotency-Key", "must have 1 to 255 visible ASCII characters"));
        }
        Ok(Self(Some(key.to_owned())))
    }
}

impl IdempotencyKey {
    /// The key for this operation with this content.
    ///
    /// # Errors
    /// `INTERNAL` when the content cannot be written as JSON.
    pub fn once(&self, operation: &str, content: &impl Serialize) -> Result<Option<Once>, ApiError> {
        let Some(key) = &self.0 else { return Ok(None) };
        // Written anew, so that white space and the order of a client's fields do not count.
        let payload = serde_json::to_vec(content).map_err(ApiError::internal)?;
        Ok(Some(Once::new(operation, key, &payload)))
    }
}
