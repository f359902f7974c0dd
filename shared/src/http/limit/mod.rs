//! The rate limit: so many requests in 60 seconds for each user, or for each address without one, across all instances
//! (draft-ietf-httpapi-ratelimit-headers).

mod memory;
mod store;
mod window;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::Client;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION};

use self::{
    memory::Memory,
    store::{Counters, Hit},
    window::{Moment, SECONDS, retry_after},
};
use super::{
    auth::{Identity, Plan},
    cache,
    context::ClientAddr,
};
use crate::{
    config::RateLimit,
    error::ApiError,
    telemetry::{metrics, timing},
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How long the store is left alone after it has failed, by all but those who cannot do without it.
const REST: Duration = Duration::from_secs(1);

/// The limiter. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: RateLimit,
    counters: Counters,
    memory: Memory,
    /// Until when the store is taken to be down.
    down: Mutex<Option<Instant>>,
}

/// Whose requests are counted together, and how many there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    policy: &'static str,
    key: String,
    limit: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// So many more may follow within so many seconds.
    Admitted { remaining: u32, reset: u32 },
    /// Denied for so many seconds.
    Denied { wait: f64 },
}

impl Limiter {
    /// Counts in the table that the settings name.
    pub fn new(client: &Client, config: &RateLimit) -> Self {
        Self(Arc::new(Inner {
            counters: Counters::new(client, config),
            config: config.clone(),
            memory: Memory::default(),
            down: Mutex::default(),
        }))
    }

    fn subject(&self, extensions: &Extensions) -> Subject {
        let RateLimit { free, premium, .. } = self.0.config;
        if let Some(Identity::Verified(caller)) = extensions.get() {
            let limit = if caller.plan == Plan::Premium { premium } else { free };
            return Subject { policy: "user", key: format!("u:{}", caller.user), limit };
        }
        // A token that does not verify names nobody.
        let address = extensions.get::<ClientAddr>().map(|ClientAddr(address)| network(*address));
        Subject { policy: "address", key: format!("a:{}", address.unwrap_or_default()), limit: free }
    }

    /// Counts a request. An error means that the store does not answer.
    async fn check(&self, subject: &Subject) -> Result<Verdict, ApiError> {
        let Inner { counters, memory, .. } = &*self.0;
        let Subject { key, limit, .. } = subject;
        let now = Moment::now();
        let previous = match memory.enter(key, now, *limit) {
            Ok(previous) => previous,
            Err(wait) => return Ok(Verdict::Denied { wait }),
        };
        // Boxed: once a minute, and the future of every request would be larger by it.
        let read = async || Box::pin(counters.count(key, now.window.saturating_sub(1))).await;
        let previous = *previous.get_or_try_init(read).await?;
        let allowed = now.allowed(*limit, previous);
        // With nothing allowed there is no call: its condition would let the first request of a window pass.
        let hit = if allowed == 0 { Hit::Full(0) } else { counters.hit(key, now.window, allowed).await? };
        Ok(match hit {
            Hit::Counted(count) => {
                let remaining = allowed.saturating_sub(count);
                Verdict::Admitted { remaining, reset: retry_after(now.left()) }
            }
            Hit::Full(count) => {
                let wait = now.wait(*limit, previous, count);
                memory.deny(key, now, *limit, wait);
                Verdict::Denied { wait }
            }
        })
    }

    /// Like [`check`](Self::check), within the time that there is for it. What cannot be checked goes through, as much
    /// as this instance alone would admit; only what must not happen too often does not.
    async fn decide(&self, subject: &Subject, must_be_sure: bool) -> Result<Verdict, ApiError> {
        let resting = self.down().is_some_and(|until| until > Instant::now());
        if must_be_sure || !resting {
            let RateLimit { timeout, sure_timeout, .. } = self.0.config;
            let patience = if must_be_sure { sure_timeout } else { timeout };
            let checked = tokio::time::timeout(patience, self.check(subject)).await;
            let error = match checked.unwrap_or_else(|_| Err(ApiError::timeout())) {
                Ok(verdict) => return Ok(verdict),
                Err(error) => error,
            };
            if !resting {
                tracing::warn!(cause = error.causes(), "the rate limit does without its store");
                *self.down() = Some(Instant::now() + REST);
            }
            if must_be_sure {
                return Err(error);
            }
        }
        metrics::rate_limit_degraded();
        let now = Moment::now();
        let reset = retry_after(now.left());
        Ok(if self.0.memory.admit_unchecked(&subject.key, now, subject.limit) {
            Verdict::Admitted { remaining: 0, reset }
        } else {
            Verdict::Denied { wait: now.left() }
        })
    }

    fn down(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network that one subscriber has: the address itself, or 64 bits of it (RFC 6177).
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

impl Subject {
    fn headers(&self, verdict: Verdict) -> [(HeaderName, String); 2] {
        let Self { policy, limit, .. } = self;
        let (remaining, reset) = match verdict {
            Verdict::Admitted { remaining, reset } => (remaining, reset),
            Verdict::Denied { wait } => (0, retry_after(wait)),
        };
        [
            (RATE_LIMIT_POLICY, format!("\"{policy}\";q={limit};w={SECONDS}")),
            (RATE_LIMIT, format!("\"{policy}\";r={remaining};t={reset}")),
        ]
    }

    fn admit(&self, verdict: Verdict) -> Result<(), ApiError> {
        let Verdict::Denied { wait } = verdict else { return Ok(()) };
        let error = ApiError::rate_limited(retry_after(wait));
        let headers = self.headers(verdict).into_iter();
        Err(headers.fold(error, |error, (name, value)| match HeaderValue::from_str(&value) {
            Ok(value) => error.with_header(name, value),
            Err(_) => error,
        }))
    }

    fn describe(&self, headers: &mut HeaderMap, verdict: Verdict) {
        let legal = |(name, value): (HeaderName, String)| Some((name, HeaderValue::from_str(&value).ok()?));
        headers.extend(self.headers(verdict).into_iter().filter_map(legal));
    }
}

/// Admits a request or answers 429. A read runs beside the check, so that the check costs it no time.
pub(super) async fn enforce(
    State(limiter): State<Limiter>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // What is not there costs nothing, liveness must be told whatever happens, and pictures, which come by the dozen, have
    // a queue of their own.
    if !route.is_some_and(|route| route.starts_with("/api/")) {
        return Ok(next.run(request).await);
    }
    let subject = limiter.subject(request.extensions());
    let has_token = request.headers().contains_key(AUTHORIZATION);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Each POST makes an order, or many.
    let must_be_sure = request.method() == Method::POST;

    let decision = timing::part("limit", limiter.decide(&subject, must_be_sure));
    let (verdict, mut response) = if reads {
        let backend = next.run(request);
        tokio::pin!(decision, backend);
        tokio::select! {
            biased;
            verdict = &mut decision => {
                let verdict = verdict?;
                // A denial ends the read.
                subject.admit(verdict)?;
                (verdict, backend.await)
            }
            response = &mut backend => {
                let verdict = decision.await?;
                subject.admit(verdict)?;
                (verdict, response)
            }
        }
    } else {
        let verdict = decision.await?;
        subject.admit(verdict)?;
        (verdict, next.run(request).await)
    };
    // A shared cache would replay the headers to others.
    if !cache::will_be_shared(&response, has_token) {
        subject.describe(response.headers_mut(), verdict);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_by_subscriber() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2:ffff::1"), network("2001:db8:1:2:3:4:5:6"));
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
    }

    #[test]
    fn headers_say_what_is_left() {
        let subject = Subject { policy: "user", key: "u:a".into(), limit: 100 };
        let mut headers = HeaderMap::new();
        subject.describe(&mut headers, Verdict::Admitted { remaining: 37, reset: 21 });
        assert_eq!(headers["ratelimit-policy"], "\"user\";q=100;w=60");
        assert_eq!(headers["ratelimit"], "\"user\";r=37;t=21");
    }
}
