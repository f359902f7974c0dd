//! What goes wrong with a service, and what that means to a phone.

use std::time::Duration;

use http::StatusCode;

use crate::{error::ApiError, http::call::Stale};

/// The longest wait that is passed on to a client, in seconds.
const LONGEST_WAIT: u32 = 300;

/// Why an attempt gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection, a broken one, or an address that is not one.
    #[error(transparent)]
    Connection(reqwest::Error),
    /// No whole answer in time.
    #[error("the upstream did not answer in time")]
    Slow,
    /// An answer with a status that is no use, and the seconds in its `Retry-After`.
    #[error("the upstream answered {0}")]
    Status(StatusCode, Option<u32>),
    /// An answer larger than the caller takes.
    #[error("the upstream's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// An answer that is not the JSON that was expected.
    #[error("the upstream's answer is not what was expected")]
    Json(#[from] serde_json::Error),
    /// An answer about something else than what was asked for.
    #[error("the upstream answered with another record than the one asked for")]
    Another,
    /// It has failed too often and is left alone for so long.
    #[error("the upstream has failed too often and is left alone")]
    LeftAlone(Duration),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // An address holds ids, which are no business of the log.
        if error.is_timeout() { Self::Slow } else { Self::Connection(error.without_url()) }
    }
}

impl Failure {
    /// Whether the same read may succeed a moment later. A service that names a wait is not asked again before it.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Slow => true,
            Self::Status(status, wait) => status.is_server_error() && wait.is_none(),
            Self::TooLarge(_) | Self::Json(_) | Self::Another | Self::LeftAlone(_) => false,
        }
    }

    /// Whether the service is at fault, and not the request.
    pub(super) fn is_of_the_service(&self) -> bool {
        match self {
            Self::Status(status, _) => !status.is_client_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => true,
        }
    }

    /// What is said of an old answer that stands in for it.
    pub(super) fn stale(&self, age: Duration) -> Stale {
        let (asked, status, reason) = match self {
            Self::LeftAlone(_) => (false, None, "breaker"),
            Self::Slow => (true, None, "timeout"),
            Self::Connection(_) => (true, None, "connection"),
            Self::Status(status, _) => (true, Some(*status), "status"),
            Self::TooLarge(_) | Self::Json(_) | Self::Another => (true, Some(StatusCode::OK), "body"),
        };
        Stale { age, asked, status, reason }
    }

    /// How long a client should wait, in seconds, where that is known.
    fn wait(&self) -> Option<u32> {
        match self {
            Self::Status(_, wait) => wait.map(|wait| wait.clamp(1, LONGEST_WAIT)),
            // Rounded up, so that waiting is enough.
            Self::LeftAlone(rest) => u32::try_from(rest.as_secs()).ok().map(|seconds| seconds.saturating_add(1)),
            _ => None,
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let wait = failure.wait();
        let error = match failure {
            Failure::Slow => Self::timeout().with_source(failure),
            Failure::Status(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => {
                Self::unavailable(failure)
            }
            // A request that the service refuses is a fault of ours.
            Failure::Status(status, _) if status.is_client_error() => Self::internal(failure),
            _ => Self::backend(failure),
        };
        match wait {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }
}
