//! The parts of the home screen. Each has its own deadline; one that fails is null and named, the rest is served.

use std::{collections::BTreeMap, future::Future, time::Duration};

use serde::Serialize;
use shared::ApiError;

/// What became of one part.
pub(crate) type Part<T> = Result<T, ApiError>;

/// Runs one part within its time.
pub(crate) async fn within<T>(limit: Duration, part: impl Future<Output = Part<T>>) -> Part<T> {
    tokio::time::timeout(limit, part).await.unwrap_or_else(|_| Err(ApiError::timeout()))
}

/// The body of the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Home<P, O, F> {
    pub(crate) profile: Option<P>,
    pub(crate) recent_orders: Option<O>,
    pub(crate) featured_products: Option<F>,
    /// Whether all parts are there.
    pub(crate) complete: bool,
    /// The parts that are not, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) errors: BTreeMap<&'static str, Failure>,
}

/// Why a part is missing, and whether asking again can help.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

impl Failure {
    fn of(name: &str, error: &ApiError) -> Self {
        let facts = error.code().facts();
        tracing::warn!(part = name, code = facts.name, cause = error.causes(), "a part of the home screen failed");
        Self { code: facts.name, retryable: facts.retryable, retry_after: error.retry_after() }
    }
}

/// Collects the failures while the parts are taken apart.
#[derive(Default)]
pub(crate) struct Failures(pub(crate) BTreeMap<&'static str, Failure>);

impl Failures {
    /// The part's value, or `None` after noting why.
    pub(crate) fn note<T>(&mut self, name: &'static str, part: Part<T>) -> Option<T> {
        match part {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.insert(name, Failure::of(name, &error));
                None
            }
        }
    }
}
