//! Services behind this one, asked over HTTP.
//!
//! A question is a read or a write. A read is tried again when the failure may pass, as long as the request has time and
//! the service's budget of retries lasts; a write is sent once. When all fails, a read gets the last good answer, unless
//! it must be current. A service that fails too often is left alone for a while.

mod breaker;
mod failure;
mod http;
mod stale;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::{
    HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, IF_MATCH},
};
use axum::body::Bytes;
use reqwest::{Certificate, Request, Url};
use serde::{Serialize, de::DeserializeOwned};
use tower::retry::budget::{Budget, TpsBudget};

use self::{breaker::Breaker, http::Roots, stale::Kept};
use super::aws::read_pem;
use crate::{
    Id,
    config::{Backends, BaseUrl, ConfigError},
    error::{ApiError, causes},
    http::{call::Call, precondition::etag},
    telemetry::{
        metrics,
        timing::{self, UPSTREAM},
    },
};

pub use self::{
    failure::Failure,
    http::{Client, install_tls_provider},
};

/// How often a read is sent at most.
const ATTEMPTS: u32 = 3;
/// The longest pause before the first retry; twice as long before the next.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// What is left of a request's time for the answer, when a service takes all that it may.
const RESERVE: Duration = Duration::from_millis(50);
/// An attempt that had less time than this says nothing about the service: the request had used it up.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// The services that the settings name. Without any there is no client either.
#[derive(Clone, Debug, Default)]
pub struct Upstreams {
    /// Has the users.
    pub users: Option<Upstream>,
    /// Has the products.
    pub products: Option<Upstream>,
}

impl Upstreams {
    /// Clients as the settings say. They share connections; each service has its own breaker, budget and kept answers.
    ///
    /// # Errors
    /// When the file of roots cannot be used, or TLS cannot be set up.
    pub fn new(config: &Backends) -> Result<Self, ConfigError> {
        let bases = [&config.users, &config.products];
        if bases.iter().all(|base| base.is_none()) {
            return Ok(Self::default());
        }
        let encrypted = bases.into_iter().flatten().any(BaseUrl::is_https);
        let client = Client::trusting(roots(config, encrypted)?);
        let client = client.map_err(|why| ConfigError::new("BACKEND_CA_BUNDLE", format!("cannot be used: {why}")))?;
        let upstream =
            |name, base: &Option<BaseUrl>| base.clone().map(|base| Upstream::new(name, base, client.clone(), config));
        Ok(Self { users: upstream("users", &config.users), products: upstream("products", &config.products) })
    }
}

/// Reading the system's roots takes some milliseconds of a cold start, so only who needs them does.
fn roots(config: &Backends, encrypted: bool) -> Result<Roots, ConfigError> {
    let name = "BACKEND_CA_BUNDLE";
    match &config.ca_bundle {
        _ if !encrypted => Ok(Roots::Only(Vec::new())),
        None => Ok(Roots::System),
        Some(path) => {
            let roots = Certificate::from_pem_bundle(&read_pem(name, path)?);
            roots.map(Roots::Only).map_err(|why| ConfigError::new(name, format!("cannot be used: {why}")))
        }
    }
}

/// A service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    base: BaseUrl,
    client: Client,
    timeout: Duration,
    attempt: Duration,
    breaker: Breaker,
    budget: TpsBudget,
    kept: Kept,
}

/// What a question is about: a collection, or one record of it.
#[derive(Clone, Debug)]
pub struct Resource(Url);

impl Resource {
    /// With a parameter, percent-encoded.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.query_pairs_mut().append_pair(name, value);
        self
    }
}

impl Upstream {
    fn new(name: &'static str, base: BaseUrl, client: Client, config: &Backends) -> Self {
        Self(Arc::new(Inner {
            name,
            base,
            client,
            timeout: config.timeout,
            attempt: config.attempt,
            breaker: Breaker::new(name),
            // One retry a second, and one for each five questions of the last ten seconds.
            budget: TpsBudget::new(Duration::from_secs(10), 1, 0.2),
            kept: Kept::new(config.stale),
        }))
    }

    /// A collection of the service, such as `users`.
    pub fn collection(&self, name: &'static str) -> Resource {
        Resource(self.0.base.join([name]))
    }

    /// One record of a collection.
    pub fn record(&self, collection: &'static str, id: &Id) -> Resource {
        Resource(self.0.base.join([collection, id.as_str()]))
    }

    /// `GET`: what is there, if anything is. `check` refuses an answer about something else.
    ///
    /// # Errors
    /// What the failure means: see [`ApiError`]'s codes in `docs/backends.md`.
    pub async fn read<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        check: impl Fn(&T) -> bool,
        call: &Call,
    ) -> Result<Option<T>, ApiError> {
        let (address, asked) = (resource.0.as_str(), Instant::now());
        match timing::part(UPSTREAM, self.read_current(resource, &check, call)).await {
            Ok(Some((answer, body))) => {
                // As of the question: an edit may have been answered since.
                self.0.kept.put(address, body, asked);
                Ok(Some(answer))
            }
            Ok(None) => {
                self.0.kept.remove(address);
                Ok(None)
            }
            Err(failure) => match self.kept(address, &failure, call) {
                Some(answer) => Ok(Some(answer)),
                None => Err(failure.into()),
            },
        }
    }

    async fn read_current<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        check: &impl Fn(&T) -> bool,
        call: &Call,
    ) -> Result<Option<(T, Bytes)>, Failure> {
        let Inner { attempt, budget, name, .. } = &*self.0;
        let end = self.end(call);
        budget.deposit();
        for sent in 1.. {
            let patience = left_until(end).min(*attempt);
            let failure = match self.attempt(request(Method::GET, resource, call), check, patience).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = FIRST_PAUSE.saturating_mul(1 << (sent - 1)).mul_f64(fastrand::f64());
            let may_retry = sent < ATTEMPTS && failure.may_pass() && pause < left_until(end) && budget.withdraw();
            if !may_retry {
                return Err(failure);
            }
            metrics::backend_retried(name);
            tokio::time::sleep(pause).await;
        }
        Err(Failure::Slow)
    }

    /// `PATCH` with a merge patch (RFC 7396) on a version of a record: what the record is then; `None` when it is no longer
    /// at this version. Sent once, since nobody knows what became of a write without an answer.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn edit<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        version: u64,
        patch: &impl Serialize,
        check: impl Fn(&T) -> bool,
        call: &Call,
    ) -> Result<Option<T>, ApiError> {
        let mut request = request(Method::PATCH, resource, call);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/merge-patch+json"));
        headers.insert(IF_MATCH, etag(version));
        *request.body_mut() = Some(serde_json::to_vec(patch).map_err(ApiError::internal)?.into());
        let patience = left_until(self.end(call));
        let edited = match timing::part(UPSTREAM, self.attempt(request, &check, patience)).await {
            Err(Failure::Status(StatusCode::PRECONDITION_FAILED, _)) => Ok(None),
            other => other,
        };
        Ok(edited?.map(|(record, body)| {
            self.0.kept.put(resource.0.as_str(), body, Instant::now());
            record
        }))
    }

    /// When a question must be done with.
    fn end(&self, call: &Call) -> Instant {
        let left = left_until(call.ends());
        Instant::now() + self.0.timeout.min(left.saturating_sub(RESERVE.min(left / 4)))
    }

    /// One attempt, if the service is not left alone: what is there, read and as it came; or nothing.
    async fn attempt<T: DeserializeOwned>(
        &self,
        request: Request,
        check: &impl Fn(&T) -> bool,
        patience: Duration,
    ) -> Result<Option<(T, Bytes)>, Failure> {
        let permit = self.0.breaker.admit(Instant::now()).map_err(Failure::LeftAlone)?;
        let result = match self.0.client.send(request, MAX_ANSWER, patience).await {
            Ok((StatusCode::OK, _, body)) => parse(&body, check).map(|answer| Some((answer, body))),
            Ok((StatusCode::NOT_FOUND | StatusCode::GONE, ..)) => Ok(None),
            Ok((status, headers, _)) => Err(Failure::Status(status, http::retry_after(&headers))),
            Err(failure) => Err(failure),
        };
        if matches!(result, Err(Failure::Slow)) && patience < self.0.attempt.min(LEAST_PATIENCE) {
            drop(permit);
        } else {
            permit.report(result.as_ref().is_err_and(Failure::is_of_the_service), Instant::now());
        }
        result
    }

    /// The last good answer, where an old one will do.
    fn kept<T: DeserializeOwned>(&self, address: &str, failure: &Failure, call: &Call) -> Option<T> {
        if call.must_be_current() || !failure.is_of_the_service() {
            return None;
        }
        let (body, age) = self.0.kept.get(address, Instant::now())?;
        let answer = serde_json::from_slice(&body).ok()?;
        let (backend, age_s) = (self.0.name, age.as_secs());
        tracing::warn!(backend, age_s, cause = causes(failure), "an old answer stands in for a failed one");
        metrics::backend_stale(backend);
        call.note(failure.stale(age));
        Some(answer)
    }
}

fn request(method: Method, resource: &Resource, call: &Call) -> Request {
    let mut request = Request::new(method, resource.0.clone());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().extend(call.headers());
    request
}

/// A body as what was expected.
fn parse<T: DeserializeOwned>(body: &[u8], check: &impl Fn(&T) -> bool) -> Result<T, Failure> {
    let answer = serde_json::from_slice(body)?;
    if check(&answer) { Ok(answer) } else { Err(Failure::Another) }
}

fn left_until(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}
