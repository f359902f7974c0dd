//! Values that change rarely and are fetched over the network: secrets and key sets.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_sdk_secretsmanager::{Client, error::SdkError};
use tokio::sync::Mutex;

use crate::{
    config::{ConfigError, Env, SecretSource, check_secret},
    error::ApiError,
};

/// How long a fetched value serves before it is fetched again.
const TTL: Duration = Duration::from_mins(5);
/// The least time between two early refreshes, so that a flood of bad tokens is not a flood of fetches.
const COOLDOWN: Duration = Duration::from_secs(30);
/// How long a failed fetch speaks for the next callers while there is no value at all.
const FAILURE_MEMORY: Duration = Duration::from_secs(1);
/// How long a caller who has a stale value waits for a newer one.
const PATIENCE: Duration = Duration::from_millis(500);

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
    /// The last refresh ahead of the time to live that came to an end, good or bad.
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

    /// The value. It is fetched if there is none, and if it is past its time to live by the first caller to notice:
    /// the others, and all of them while the source is down, get the stale one at once.
    pub(crate) async fn get<E: Into<BoxError>>(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, ApiError> {
        // What fetches is boxed: it happens rarely, and would make the future of every request several times as large.
        let Some((value, at)) = self.current() else { return Box::pin(self.first(fetch)).await };
        if at.elapsed() < self.ttl || self.read(|state| is_recent(state.failed, self.cooldown)) {
            return Ok(value);
        }
        let Ok(_turn) = self.fetching.try_lock() else { return Ok(value) };
        Ok(Box::pin(self.replace(fetch)).await.unwrap_or(value))
    }

    /// A newer value than `seen`, ahead of the time to live. `None` when the source has none, or when the last such
    /// refresh is too recent. Callers who come while a fetch is under way wait for what it brings.
    pub(crate) async fn newer_than<E: Into<BoxError>>(
        &self,
        seen: &Arc<T>,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Option<Arc<T>> {
        let newer = |value: &Arc<T>| !Arc::ptr_eq(value, seen);
        let _turn = self.fetching.lock().await;
        if let Some((value, _)) = self.current().filter(|(value, _)| newer(value)) {
            return Some(value);
        }
        if self.read(|state| is_recent(state.refreshed, self.cooldown)) {
            return None;
        }
        let value = Box::pin(self.replace(fetch)).await;
        // Only now: a caller who gave up half-way must not keep the next one from trying.
        self.write(|state| state.refreshed = Some(Instant::now()));
        value
    }

    /// The first value of all, for which every caller has to wait.
    async fn first<E: Into<BoxError>>(&self, fetch: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, ApiError> {
        let _turn = self.fetching.lock().await;
        if let Some((value, _)) = self.current() {
            return Ok(value);
        }
        if self.read(|state| is_recent(state.failed, FAILURE_MEMORY)) {
            return Err(ApiError::unavailable("a fetch failed a moment ago"));
        }
        self.store(fetch().await).map_err(ApiError::unavailable)
    }

    /// A fetch by a caller who can do without.
    async fn replace<E: Into<BoxError>>(&self, fetch: impl AsyncFnOnce() -> Result<T, E>) -> Option<Arc<T>> {
        let fetched = tokio::time::timeout(PATIENCE, fetch()).await;
        let fetched = fetched.map_or_else(|_| Err("the source is slow".into()), |result| result.map_err(Into::into));
        self.store::<BoxError>(fetched).ok()
    }

    fn store<E: Into<BoxError>>(&self, fetched: Result<T, E>) -> Result<Arc<T>, BoxError> {
        match fetched {
            Ok(value) => {
                let value = Arc::new(value);
                self.write(|state| {
                    state.value = Some((Arc::clone(&value), Instant::now()));
                    state.failed = None;
                });
                Ok(value)
            }
            Err(why) => {
                let why = why.into();
                tracing::warn!(cause = %why, "a secret or key set could not be fetched");
                self.write(|state| state.failed = Some(Instant::now()));
                Err(why)
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

/// A secret in both values of a rotation, current first.
#[derive(Debug)]
pub(crate) enum Secret {
    /// Given as a setting.
    Fixed(Arc<Vec<String>>),
    /// Kept in Secrets Manager.
    Managed {
        /// The client.
        client: Client,
        /// Name or ARN.
        id: String,
        /// What was read last.
        cache: Refreshing<Vec<String>>,
    },
}

impl Secret {
    pub(crate) fn new(source: &SecretSource, client: &Client) -> Self {
        match source {
            SecretSource::Given(secret) => Self::Fixed(Arc::new(vec![secret.clone()])),
            SecretSource::Managed(id) => {
                Self::Managed { client: client.clone(), id: id.clone(), cache: Refreshing::default() }
            }
        }
    }

    /// Reads the secret ahead of its first use. A manager that is down is only logged: it may come back.
    pub(crate) async fn warm_up(&self, variable: &str) -> Result<(), ConfigError> {
        let Self::Managed { client, id, cache } = self else { return Ok(()) };
        let fetched = current_and_previous(client, id).await;
        if let Ok(values) = &fetched {
            let problem = |problem| ConfigError::new(variable, format!("names a secret that {problem}"));
            check_secret(&values[0]).map_err(problem)?;
        }
        // A failure is logged where it is noticed.
        let _ = cache.get(async || fetched.map(only_strong)).await;
        Ok(())
    }

    /// The values, fetched if need be.
    pub(crate) async fn values(&self) -> Result<Arc<Vec<String>>, ApiError> {
        match self {
            Self::Fixed(values) => Ok(Arc::clone(values)),
            Self::Managed { client, id, cache } => {
                cache.get(async || current_and_previous(client, id).await.map(only_strong)).await
            }
        }
    }

    /// Newer values than those, if there are any: see [`Refreshing::newer_than`].
    pub(crate) async fn newer_than(&self, seen: &Arc<Vec<String>>) -> Option<Arc<Vec<String>>> {
        match self {
            Self::Fixed(_) => None,
            Self::Managed { client, id, cache } => {
                cache.newer_than(seen, async || current_and_previous(client, id).await.map(only_strong)).await
            }
        }
    }
}

/// A secret that may be rotated, for a route group of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rotating(Arc<Secret>);

impl Rotating {
    /// Reads `name` or `name_ID`, where either is set.
    ///
    /// # Errors
    /// See [`SecretSource::from_env`].
    pub fn from_env(env: &Env, name: &str, client: &Client) -> Result<Option<Self>, ConfigError> {
        Ok(SecretSource::from_env(env, name)?.map(|source| Self(Arc::new(Secret::new(&source, client)))))
    }

    /// The values that verify, current first.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the secret cannot be read.
    pub async fn values(&self) -> Result<Arc<Vec<String>>, ApiError> {
        self.0.values().await
    }

    /// Newer values than those `seen`, for what they do not verify. `None` where there are none, or where the last such
    /// look was less than 30 seconds ago: a flood of forgeries is not a flood of fetches.
    pub async fn newer_than(&self, seen: &Arc<Vec<String>>) -> Option<Arc<Vec<String>>> {
        self.0.newer_than(seen).await
    }
}

/// A previous value from a time of laxer rules must not open anything.
fn only_strong(values: Vec<String>) -> Vec<String> {
    values.into_iter().filter(|value| check_secret(value).is_ok()).collect()
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
    use std::convert::Infallible;

    use super::*;

    fn to(n: i32) -> impl AsyncFnOnce() -> Result<i32, Infallible> {
        async move || Ok(n)
    }

    #[tokio::test]
    async fn serves_from_memory_until_the_ttl_and_stale_when_the_source_is_down() {
        let cache = Refreshing::new(Duration::from_millis(30), Duration::from_millis(50));
        assert_eq!(*cache.get(to(1)).await.expect("first"), 1);
        assert_eq!(*cache.get(to(2)).await.expect("cached"), 1);
        tokio::time::sleep(Duration::from_millis(40)).await;
        let stale = cache.get(async || Err::<i32, _>("down")).await.expect("stale beats nothing");
        assert_eq!(*stale, 1);
        assert_eq!(*cache.get(to(2)).await.expect("not asked again at once"), 1);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(*cache.get(to(2)).await.expect("source is back"), 2);
    }

    #[tokio::test]
    async fn a_source_that_hangs_delays_one_caller_a_little_and_nobody_else() {
        let cache = Refreshing::new(Duration::ZERO, Duration::from_mins(1));
        assert_eq!(*cache.get(to(1)).await.expect("first"), 1);
        let hang = async || std::future::pending::<Result<i32, Infallible>>().await;
        let start = Instant::now();
        let (first, second) = tokio::join!(cache.get(hang), cache.get(hang));
        assert_eq!((*first.expect("stale"), *second.expect("stale")), (1, 1));
        assert!(start.elapsed() < 2 * PATIENCE, "only one of them waited");
        let (_, seconds) = (cache.get(hang).await.expect("stale"), start.elapsed());
        assert!(seconds < 2 * PATIENCE, "the failure is remembered");
    }

    #[tokio::test]
    async fn an_early_refresh_is_immediate_once_and_then_waits_for_its_cooldown() {
        let cache = Refreshing::new(Duration::from_mins(1), Duration::from_millis(50));
        let first = cache.get(to(1)).await.expect("first");
        let second = cache.newer_than(&first, to(2)).await.expect("newer");
        assert_eq!(*second, 2);
        assert_eq!(cache.newer_than(&second, to(3)).await, None, "too soon");
        assert_eq!(cache.newer_than(&first, to(3)).await.as_deref(), Some(&2), "no fetch needed");
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(cache.newer_than(&second, to(3)).await.as_deref(), Some(&3));
    }

    #[tokio::test]
    async fn callers_wait_for_a_refresh_that_is_under_way_and_one_who_leaves_blocks_nobody() {
        let cache = Refreshing::new(Duration::from_mins(1), Duration::from_mins(1));
        let seen = cache.get(to(1)).await.expect("first");
        let slow = |n| {
            async move || {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, Infallible>(n)
            }
        };
        let left = tokio::time::timeout(Duration::from_millis(10), cache.newer_than(&seen, slow(2))).await;
        assert!(left.is_err(), "the client hung up");
        let (one, two) = tokio::join!(cache.newer_than(&seen, slow(3)), cache.newer_than(&seen, slow(4)));
        assert_eq!((one.as_deref(), two.as_deref()), (Some(&3), Some(&3)));
    }

    #[tokio::test]
    async fn without_any_value_a_failure_is_retryable() {
        let cache = Refreshing::<i32>::default();
        let error = cache.get(async || Err::<i32, _>("down")).await.expect_err("nothing to serve");
        assert!(error.code().facts().retryable);
    }
}
