//! How a server treats its connections.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use crate::config::{ConfigError, Env};

/// Requests that each worker has at a time while the store is slow: their memory is what bounds them, some 0.1 MB for one.
const IN_FLIGHT_PER_WORKER: usize = 32;

/// Limits of a server. The defaults are those of a task on ECS behind a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `WORKERS` (one for each processor): threads that serve requests.
    pub workers: usize,
    /// `MAX_CONNECTIONS` (10000): open connections; for one more, those that were idle for longest are closed.
    pub max_connections: usize,
    /// `MAX_IN_FLIGHT` (32 for each worker): requests at a time; one more waits for a place.
    pub max_in_flight: usize,
    /// `MAX_WAIT_MS` (5): how long a request may wait for a place, and for its turn on a processor when there are more
    /// than a few; one that has to wait longer is answered with 503.
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

/// Connections above the limit that are told so; more are not even told.
pub(super) const fn surplus(limit: usize) -> usize {
    limit / 8 + 16
}

/// Connections from this machine itself above all others: the health check of a task must not be turned away.
pub(super) const LOCAL: usize = 8;

/// Files that are open besides the connections of clients: to the store, about one for each request; sockets that linger;
/// metrics, logs, libraries.
const fn other_files(max_in_flight: usize) -> usize {
    max_in_flight.saturating_add(512)
}

/// How many connections fit into so many files.
const fn connections_within(files: usize, max_in_flight: usize) -> usize {
    let others = other_files(max_in_flight).saturating_add(LOCAL + 16);
    // Each eighth connection needs a file for one that is told to come again.
    files.saturating_sub(others).saturating_mul(8) / 9
}

/// A server with fewer connections than that is of no use.
const FEWEST: usize = 64;

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

    /// The same with as many connections as fit into the limit of open files, which is raised as far as it goes.
    ///
    /// # Errors
    /// When there are next to none.
    pub fn within_files(self) -> Result<Self, ConfigError> {
        let wanted = self.max_connections;
        let most = wanted.saturating_add(surplus(wanted) + LOCAL).saturating_add(other_files(self.max_in_flight));
        // Where there is no such limit, or none that can be read.
        let files = rlimit::increase_nofile_limit(most as u64).unwrap_or(u64::MAX);
        self.within(usize::try_from(files).unwrap_or(usize::MAX))
    }

    fn within(self, files: usize) -> Result<Self, ConfigError> {
        let wanted = self.max_connections;
        let limit = wanted.min(connections_within(files, self.max_in_flight));
        if limit < wanted.min(FEWEST) {
            let problem = format!(
                "is {wanted}, but with {files} open files and {} requests at a time there is room for {limit}; raise the \
                 limit of open files (nofile), or lower MAX_IN_FLIGHT",
                self.max_in_flight
            );
            return Err(ConfigError::new("MAX_CONNECTIONS", problem));
        }
        if limit < wanted {
            tracing::warn!(wanted, limit, "fewer connections than MAX_CONNECTIONS: the limit of open files is too low");
        }
        Ok(Self { max_connections: limit, ..self })
    }

    /// The same for metrics: a few clients, which ask now and then.
    #[must_use]
    pub(in crate::runtime) fn for_metrics(self) -> Self {
        Self { max_connections: FEWEST.min(self.max_connections), ..self }
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
    fn there_are_as_many_connections_as_fit_into_the_limit_of_files() {
        let options = Options { max_connections: 10_000, max_in_flight: 256, ..Options::default() };
        let within = |files| options.within(files).map(|options| options.max_connections);
        let needed = 10_000 + surplus(10_000) + LOCAL + other_files(256);
        assert_eq!(within(usize::MAX), Ok(10_000));
        assert_eq!(within(needed), Ok(10_000));
        let fewer = within(needed - 9).expect("enough");
        assert!((9_990..10_000).contains(&fewer), "{fewer}");
        assert!(fewer + surplus(fewer) + LOCAL + other_files(256) <= needed - 9);
        let sentence = "MAX_CONNECTIONS is 10000, but with 800 open files and 256 requests at a time there is room for 7; \
                        raise the limit of open files (nofile), or lower MAX_IN_FLIGHT";
        assert_eq!(within(800).map_err(|error| error.to_string()), Err(sentence.to_owned()));
        let few = Options { max_connections: 3, ..options };
        assert_eq!(few.within(900).map(|options| options.max_connections), Ok(3), "as many as are wanted");
        assert_eq!(options.for_metrics().max_connections, FEWEST);
    }

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
