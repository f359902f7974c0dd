//! Values that change rarely and are fetched over the network: secrets and key sets.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_sdk_secretsmanager::{Client, error::SdkError};
use tokio::sync::Mutex;

use crate::error::ApiError;

/// How long a fetched value serves before it is fetched again.
const TTL: Duration = Duration::from_mins(5);
/// The least time between two early refreshes, so that a flood of bad tokens is not a flood of fetches.
const COOLDOWN: Duration = Duration::from_secs(30);
/// How long a failed fetch speaks for the next callers, so that they do not queue behind a source that is down.
const FAILURE_MEMORY: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A fetched value with its time to live.
///
/// One caller fetches at a time. When the source is down, the last value goes on serving.
#[derive(Debug)]
pub(crate) struct Refreshing<T> {
    ttl: Duration,
    cooldown: Duration,
    state: RwLock<State<T>>,
    fetching: Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<(Arc<T>, Instant)>,
    refreshed: Option<Instant>,
    failed: Option<Instant>,
}

impl<T> Default for Refreshing<T> {
    fn default() -> Self {
        Self::new(TTL, COOLDOWN)
    }
}

impl<T> Refreshing<T> {
    pub(crate) fn new(ttl: Duration, cooldown: Duration) -> Self {
        let state = RwLock::new(State { value: None, refreshed: None, failed: None });
        Self { ttl, cooldown, state, fetching: Mutex::new(()) }
    }

    /// The value; fetched if there is none or if it is past its time to live.
    pub(crate) async fn get<E: Into<BoxError>>(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, ApiError> {
        match self.current() {
            Some((value, at)) if at.elapsed() < self.ttl => Ok(value),
            stale => self.fetch(stale.map(|(value, _)| value), fetch).await,
        }
    }

    /// A newer value than `seen`, ahead of the time to live. `None` when the source has none, or when the last such
    /// refresh is too recent.
    pub(crate) async fn newer_than<E: Into<BoxError>>(
        &self,
        seen: &Arc<T>,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Option<Arc<T>>, ApiError> {
        if !self.read(|state| is_recent(state.refreshed, self.cooldown)) {
            self.write(|state| state.refreshed = Some(Instant::now()));
            self.fetch(Some(Arc::clone(seen)), fetch).await?;
        }
        let newer = self.current().map(|(value, _)| value);
        Ok(newer.filter(|value| !Arc::ptr_eq(value, seen)))
    }

    async fn fetch<E: Into<BoxError>>(
        &self,
        seen: Option<Arc<T>>,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, ApiError> {
        let _turn = self.fetching.lock().await;
        // While this caller waited for its turn, another may have fetched, or failed to.
        if let Some((value, _)) = self.current()
            && seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &value))
        {
            return Ok(value);
        }
        if self.read(|state| is_recent(state.failed, FAILURE_MEMORY)) {
            return seen.ok_or_else(|| ApiError::unavailable("a fetch failed a moment ago"));
        }
        match fetch().await {
            Ok(value) => {
                let value = Arc::new(value);
                self.write(|state| state.value = Some((Arc::clone(&value), Instant::now())));
                Ok(value)
            }
            Err(why) => {
                let why = why.into();
                tracing::warn!(cause = %why, stale = seen.is_some(), "a secret or key set could not be fetched");
                self.write(|state| state.failed = Some(Instant::now()));
                seen.ok_or_else(|| ApiError::unavailable(why))
            }
        }
    }

    fn current(&self) -> Option<(Arc<T>, Instant)> {
        self.read(|state| state.value.clone())
    }

    fn read<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn is_recent(at: Option<Instant>, within: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < within)
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not answer with a secret.
    #[error("Secrets Manager: {0}")]
    Fetch(String),
    /// The secret has no text.
    #[error("the secret {0} has no SecretString")]
    NotText(String),
}

/// Both values that verify during a rotation: `AWSCURRENT` first, then `AWSPREVIOUS` where there is one.
///
/// # Errors
/// When the current value cannot be read. A previous one that is missing is normal; one that fails to load for
/// another reason is an error, since tokens signed with it would be refused.
pub async fn current_and_previous(client: &Client, secret_id: &str) -> Result<Vec<String>, SecretError> {
    let stage = async |stage: &str| {
        let request = client.get_secret_value().secret_id(secret_id).version_stage(stage);
        match request.send().await {
            Ok(answer) => match answer.secret_string {
                Some(text) => Ok(Some(text)),
                None => Err(SecretError::NotText(secret_id.to_owned())),
            },
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => Ok(None),
            Err(error) => {
                Err(SecretError::Fetch(aws_sdk_secretsmanager::error::DisplayErrorContext(error).to_string()))
            }
        }
    };
    let (current, previous) = tokio::try_join!(stage("AWSCURRENT"), stage("AWSPREVIOUS"))?;
    let current = current.ok_or_else(|| SecretError::Fetch(format!("there is no secret {secret_id}")))?;
    Ok(std::iter::once(current).chain(previous).collect())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;

    #[tokio::test]
    async fn serves_from_memory_until_the_ttl_and_stale_when_the_source_is_down() {
        let cache = Refreshing::new(Duration::from_millis(30), Duration::ZERO);
        let fetches = Cell::new(0);
        let fetch = async || {
            fetches.set(fetches.get() + 1);
            Ok::<_, Infallible>(fetches.get())
        };
        assert_eq!(*cache.get(fetch).await.expect("first"), 1);
        assert_eq!(*cache.get(fetch).await.expect("cached"), 1);
        tokio::time::sleep(Duration::from_millis(40)).await;
        let stale = cache.get(async || Err::<i32, _>("down")).await.expect("stale beats nothing");
        assert_eq!(*stale, 1);
        assert_eq!(*cache.get(fetch).await.expect("not asked again at once"), 1);
        tokio::time::sleep(FAILURE_MEMORY).await;
        assert_eq!(*cache.get(fetch).await.expect("source is back"), 2);
    }

    #[tokio::test]
    async fn an_early_refresh_is_immediate_once_and_then_waits_for_its_cooldown() {
        let cache = Refreshing::new(Duration::from_mins(1), Duration::from_millis(50));
        let first = cache.get(async || Ok::<_, Infallible>(1)).await.expect("first");
        let to = |n| async move || Ok::<_, Infallible>(n);
        let second = cache.newer_than(&first, to(2)).await.expect("fetched").expect("newer");
        assert_eq!(*second, 2);
        assert_eq!(cache.newer_than(&second, to(3)).await.expect("too soon"), None);
        assert_eq!(cache.newer_than(&first, to(3)).await.expect("no fetch needed").as_deref(), Some(&2));
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(cache.newer_than(&second, to(3)).await.expect("fetched").as_deref(), Some(&3));
    }

    #[tokio::test]
    async fn without_any_value_a_failure_is_retryable() {
        let cache = Refreshing::<i32>::default();
        let error = cache.get(async || Err::<i32, _>("down")).await.expect_err("nothing to serve");
        assert!(error.code().facts().retryable);
    }
}
