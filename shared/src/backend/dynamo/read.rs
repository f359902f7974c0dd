//! Queries whose items go straight from the answer's bytes into their types.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextMut},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use http_body_util::BodyExt;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::error::Category;

use super::{attribute::Attributes, store_error};
use crate::{
    error::ApiError,
    telemetry::timing::{self, STORE},
};

/// What a query has found.
#[derive(Debug)]
pub(crate) struct Read<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Whether the query ended before its range did.
    pub(crate) more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<T> {
    #[serde(default = "Vec::new")]
    items: Vec<Attributes<T>>,
    last_evaluated_key: Option<IgnoredAny>,
}

/// Sends a query.
///
/// # Errors
/// When the store fails, see [`store_error`]; `BACKEND_ERROR` when it sends no JSON, and `INTERNAL` when an item makes no `T`.
pub(crate) async fn query<T: DeserializeOwned>(request: QueryFluentBuilder) -> Result<Read<T>, ApiError> {
    let taken = Taken::default();
    timing::part(STORE, request.customize().interceptor(taken.clone()).send()).await.map_err(store_error)?;
    let body = taken.body().take().ok_or_else(|| ApiError::internal("the store has sent no answer"))?;
    // It has been read: see `queue`.
    let bytes = body.collect().await.map_err(ApiError::backend)?.to_bytes();
    // Looked at as a whole, which is cheaper than each string for itself.
    let text = std::str::from_utf8(&bytes).map_err(ApiError::backend)?;
    let unreadable = |error: serde_json::Error| match error.classify() {
        Category::Data => ApiError::internal(error),
        Category::Io | Category::Syntax | Category::Eof => ApiError::backend(error),
    };
    let answer: Answer<T> = serde_json::from_str(text).map_err(unreadable)?;
    Ok(Read {
        items: answer.items.into_iter().map(|Attributes(item)| item).collect(),
        more: answer.last_evaluated_key.is_some(),
    })
}

/// Takes the body of a good answer away before the SDK makes its own types of it. Of an attempt that failed there is none.
#[derive(Clone, Debug, Default)]
struct Taken(Arc<Mutex<Option<SdkBody>>>);

impl Taken {
    fn body(&self) -> MutexGuard<'_, Option<SdkBody>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Taken {
    fn name(&self) -> &'static str {
        "Taken"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if response.status().is_success() {
            *self.body() = Some(std::mem::replace(response.body_mut(), SdkBody::from("{}")));
        }
        Ok(())
    }
}
