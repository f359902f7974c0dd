//! How a server treats its connections.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use crate::config::{ConfigError, Env};

/// Requests that each worker has at a time while the store is slow: their memory is what bounds them.
const IN_FLIGHT_PER_WORKER: usize = 128;

/// Limits of a server. The defaults are those of a task on ECS behind a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `WORKERS` (one for each processor): threads that serve requests.
    pub workers: usize,
    /// `MAX_CONNECTIONS` (10000): open connections; for one more, those that were idle for longest are closed.
    pub max_connections: usize,
    /// `MAX_IN_FLIGHT` (128 for each worker): requests at a time; one more is answered with 503.
    pub max_in_flight: usize,
    /// `MAX_WAIT_MS` (5): how long a request may wait for its turn on a processor, when there are more than a few; one
    /// that has to wait longer is answered with 503.
    pub max_wait: Duration,
    /// `HEADER_TIMEOUT_MS` (10000): from the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// `BODY_TIMEOUT_MS` (5000): the longest pause between two pieces of a request's body.
    pub body_timeout: Duration,
    /// `WRITE_TIMEOUT_MS` (20000): how long a client may not read what it was sent.
    pub write_timeout: Duration,
    /// `IDLE_TIMEOUT_MS` (75000): how long a connection may do nothing. A load balancer's own limit, 60 s for an ALB,
    /// has to be the shorter one, or it would send requests into connections that are just being closed.
    pub idle_timeout: Duration,
    /// `DRAIN_DELAY_MS` (5000): how long new requests are still served after SIGTERM, while readiness fails.
    pub drain_delay: Duration,
    /// `DRAIN_TIMEOUT_MS` (20000): how long requests in flight may then take to finish.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let workers = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            workers,
            max_connections: 10_000,
            max_in_flight: workers * IN_FLIGHT_PER_WORKER,
            max_wait: Duration::from_millis(5),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(75),
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// Reads and checks every setting.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let default = Self::default();
        let count = |name: &str, default: usize| match env.parsed(name, default)? {
            0 => Err(ConfigError::new(name, "is 0; it must be at least 1")),
            count => Ok(count),
        };
        let workers = count("WORKERS", default.workers)?;
        Ok(Self {
            workers,
            max_connections: count("MAX_CONNECTIONS", default.max_connections)?,
            max_in_flight: count("MAX_IN_FLIGHT", workers.saturating_mul(IN_FLIGHT_PER_WORKER))?,
            max_wait: env.millis("MAX_WAIT_MS", 5)?,
            header_timeout: env.millis("HEADER_TIMEOUT_MS", 10_000)?,
            body_timeout: env.millis("BODY_TIMEOUT_MS", 5_000)?,
            write_timeout: env.millis("WRITE_TIMEOUT_MS", 20_000)?,
            idle_timeout: env.millis("IDLE_TIMEOUT_MS", 75_000)?,
            drain_delay: Duration::from_millis(env.parsed("DRAIN_DELAY_MS", 5_000)?),
            drain_timeout: env.millis("DRAIN_TIMEOUT_MS", 20_000)?,
        })
    }

    /// The same without a load balancer that has to notice first: stops at once.
    #[must_use]
    pub fn without_delay(self) -> Self {
        Self { drain_delay: Duration::ZERO, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named() {
        let of = |name: &str, value: &str| Options::from_env(&[(name, value)].into_iter().collect());
        assert_eq!(of("WORKERS", "3").map(|options| options.max_in_flight), Ok(3 * IN_FLIGHT_PER_WORKER));
        assert_eq!(of("DRAIN_DELAY_MS", "0").map(|options| options.drain_delay), Ok(Duration::ZERO));
        for (name, value, sentence) in [
            ("MAX_IN_FLIGHT", "0", "MAX_IN_FLIGHT is 0; it must be at least 1"),
            ("WORKERS", "-1", "WORKERS is \"-1\", which is not valid: invalid digit found in string"),
            ("BODY_TIMEOUT_MS", "0", "BODY_TIMEOUT_MS is 0; it must be at least 1 (milliseconds)"),
        ] {
            assert_eq!(of(name, value).map_err(|error| error.to_string()), Err(sentence.to_owned()));
        }
    }
}
