//! How long things may take, and how many there may be.

use std::time::Duration;

use super::{ConfigError, Env};

/// The longest margin ahead of the platform's deadline.
const MAX_MARGIN: Duration = Duration::from_secs(5);

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `REQUEST_TIMEOUT_MS` (8000): a whole request.
    pub request: Duration,
    /// `DEADLINE_MARGIN_MS` (250): how far ahead of the platform's deadline the service answers TIMEOUT itself.
    pub deadline_margin: Duration,
    /// `STORE_TIMEOUT_MS` (2000): one store operation, retries included.
    pub store: Duration,
    /// `STORE_ATTEMPT_TIMEOUT_MS` (800): one attempt of a store operation.
    pub store_attempt: Duration,
}

/// How many requests there may be in 60 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// `RATE_LIMIT_TABLE`: the table of counters.
    pub table: String,
    /// `RATE_LIMIT_FREE` (100): for a user, or for an address without one.
    pub free: u32,
    /// `RATE_LIMIT_PREMIUM` (1000): for a user whose token has the claim `plan` `premium`.
    pub premium: u32,
    /// `RATE_LIMIT_TIMEOUT_MS` (100): how long a request waits for the counters before it does without.
    pub timeout: Duration,
    /// How long one waits that must not do without: `STORE_ATTEMPT_TIMEOUT_MS`.
    pub sure_timeout: Duration,
}

impl Limits {
    /// Reads the variables.
    ///
    /// # Errors
    /// When a time is not a whole number of milliseconds, or cannot be kept.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let limits = Self {
            request: env.millis("REQUEST_TIMEOUT_MS", 8000)?,
            deadline_margin: env.millis("DEADLINE_MARGIN_MS", 250)?,
            store: env.millis("STORE_TIMEOUT_MS", 2000)?,
            store_attempt: env.millis("STORE_ATTEMPT_TIMEOUT_MS", 800)?,
        };
        check_attempt(("STORE_ATTEMPT_TIMEOUT_MS", limits.store_attempt), ("STORE_TIMEOUT_MS", limits.store))?;
        if limits.deadline_margin > MAX_MARGIN {
            return Err(ConfigError::new(
                "DEADLINE_MARGIN_MS",
                "is more than 5000: little would be left of an invocation",
            ));
        }
        Ok(limits)
    }
}

impl RateLimit {
    pub(super) fn from_env(env: &Env, limits: Limits) -> Result<Self, ConfigError> {
        let rate = |name: &str, default: u32| match env.parsed(name, default)? {
            0 => Err(ConfigError::new(name, "is 0; nobody could make a request")),
            rate => Ok(rate),
        };
        Ok(Self {
            table: env.required("RATE_LIMIT_TABLE")?.to_owned(),
            free: rate("RATE_LIMIT_FREE", 100)?,
            premium: rate("RATE_LIMIT_PREMIUM", 1000)?,
            timeout: env.millis("RATE_LIMIT_TIMEOUT_MS", 100)?,
            sure_timeout: limits.store_attempt,
        })
    }
}

/// Refuses an attempt that may take longer than the operation that it is a part of.
pub(super) fn check_attempt(attempt: (&str, Duration), whole: (&str, Duration)) -> Result<(), ConfigError> {
    if attempt.1 <= whole.1 {
        return Ok(());
    }
    let problem = format!("is longer than {}, {:?}: the first attempt would have no time", whole.0, whole.1);
    Err(ConfigError::new(attempt.0, problem))
}
