//! Metrics: the facade's recorders, and the names that are recorded.
//!
//! On Lambda they leave as lines of the log, in the embedded metric format (EMF) of `CloudWatch`, after each invocation. A
//! server keeps them for Prometheus to fetch. Dimensions are the route's template, the version and the class of the
//! status: each combination is a metric that is paid for, so nothing else may become one.

use std::{io::Write, time::Duration};

use axum::{
    Extension, Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    config::{ConfigError, Env},
    http::compress::Uncoded,
};

const REQUESTS: &str = "Requests";
const LATENCY: &str = "Latency";
const USAGE: &str = "APIVersionUsage";
const BYTES_BEFORE: &str = "BytesBeforeSlimming";
const BYTES_AFTER: &str = "BytesAfterSlimming";
const BYTES_ON_WIRE: &str = "BytesOnWire";
const RATE_LIMITED: &str = "RateLimited";
const RATE_LIMIT_DEGRADED: &str = "RateLimitDegraded";
const COLD_STARTS: &str = "ColdStarts";
const BACKEND_RETRIES: &str = "BackendRetries";
const BACKEND_STALE: &str = "BackendStale";
const BACKEND_LEFT_ALONE: &str = "BackendLeftAlone";
const SHED: &str = "RequestsShed";
const CONNECTIONS: &str = "Connections";
const REFUSED: &str = "ConnectionsRefused";
const IN_FLIGHT: &str = "RequestsInFlight";
/// Of all requests together, without dimensions: what alarms are on, since an alarm cannot sum up what it does not know.
const SERVICE_ERRORS: &str = "ServiceErrors";
const SERVICE_LATENCY: &str = "ServiceLatency";

/// Upper bounds of the classes that Prometheus counts latencies in, in milliseconds.
const LATENCY_BUCKETS: [f64; 12] = [1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 8000.0];

/// What there is to record about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served<'a> {
    /// The route's template; `none` for a path without a route.
    pub(crate) route: &'a str,
    /// The version that the path names; `none` for a path without one.
    pub(crate) version: &'static str,
    /// The status.
    pub(crate) status: u16,
    /// How long it took.
    pub(crate) took: Duration,
    /// Bytes of the whole view, of the one that was asked for, and of what leaves.
    pub(crate) bytes: [Option<u64>; 3],
    /// Whether it is the first of its process.
    pub(crate) cold_start: bool,
}

impl Served<'_> {
    /// Records the request.
    pub(crate) fn record(self) {
        let class = ["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(self.status / 100).clamp(1, 5) - 1];
        let labels =
            [("route", self.route.to_owned()), ("version", self.version.to_owned()), ("status", class.to_owned())];
        counter!(REQUESTS, &labels).increment(1);
        histogram!(LATENCY, &labels).record(self.took.as_secs_f64() * 1e3);
        for (name, bytes) in [BYTES_BEFORE, BYTES_AFTER, BYTES_ON_WIRE].into_iter().zip(self.bytes) {
            counter!(name, &labels).increment(bytes.unwrap_or_default());
        }
        histogram!(SERVICE_ERRORS).record(if self.status >= 500 { 1.0 } else { 0.0 });
        histogram!(SERVICE_LATENCY).record(self.took.as_secs_f64() * 1e3);
        if self.version != "none" {
            counter!(USAGE, "route" => self.route.to_owned(), "version" => self.version).increment(1);
        }
        if self.status == 429 {
            counter!(RATE_LIMITED).increment(1);
        }
        if self.cold_start {
            counter!(COLD_STARTS).increment(1);
        }
    }
}

/// A request that was not counted, since the counters did not answer.
pub(crate) fn rate_limit_degraded() {
    counter!(RATE_LIMIT_DEGRADED).increment(1);
}

/// A read of a service behind this one that is sent once more.
pub(crate) fn backend_retried(backend: &'static str) {
    counter!(BACKEND_RETRIES, "backend" => backend).increment(1);
}

/// An old answer that was given out, since the service behind this one failed.
pub(crate) fn backend_stale(backend: &'static str) {
    counter!(BACKEND_STALE, "backend" => backend).increment(1);
}

/// A service behind this one that fails so often that it is left alone.
pub(crate) fn breaker_opened(backend: &'static str) {
    counter!(BACKEND_LEFT_ALONE, "backend" => backend).increment(1);
}

/// Counts requests that this instance had no room for.
pub(crate) fn shed() -> Counter {
    counter!(SHED)
}

/// The requests that are being handled.
pub(crate) fn in_flight() -> Gauge {
    gauge!(IN_FLIGHT)
}

/// The connections that are open.
pub(crate) fn connections() -> Gauge {
    gauge!(CONNECTIONS)
}

/// Counts connections that were closed without an answer.
pub(crate) fn refused() -> Counter {
    counter!(REFUSED)
}

fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "requests");
    describe_histogram!(LATENCY, Unit::Milliseconds, "time from the first byte read to the last one made");
    describe_counter!(USAGE, Unit::Count, "requests by version of the API");
    describe_counter!(BYTES_BEFORE, Unit::Bytes, "bytes that the whole view would have");
    describe_counter!(BYTES_AFTER, Unit::Bytes, "bytes of the view that was asked for");
    describe_counter!(BYTES_ON_WIRE, Unit::Bytes, "bytes that left, compressed or not at all");
    describe_counter!(RATE_LIMITED, Unit::Count, "requests above the limit");
    describe_counter!(RATE_LIMIT_DEGRADED, Unit::Count, "requests that the rate limit could not count");
    describe_histogram!(SERVICE_ERRORS, Unit::Count, "1 for an error of the service, 0 for any other answer");
    describe_histogram!(SERVICE_LATENCY, Unit::Milliseconds, "time of any request");
    describe_counter!(COLD_STARTS, Unit::Count, "first requests of a process");
    describe_counter!(BACKEND_RETRIES, Unit::Count, "reads of an upstream that were sent once more");
    describe_counter!(BACKEND_STALE, Unit::Count, "old answers that stood in for a failed upstream");
    describe_counter!(BACKEND_LEFT_ALONE, Unit::Count, "times that a failing upstream began to be left alone");
    describe_counter!(SHED, Unit::Count, "requests that were told to come again, since there were too many at a time");
    describe_gauge!(IN_FLIGHT, Unit::Count, "requests that are being handled");
    describe_gauge!(CONNECTIONS, Unit::Count, "connections that are open");
    describe_counter!(
        REFUSED,
        Unit::Count,
        "connections that were closed without an answer, since there were too many"
    );
}

/// The metrics of a Lambda function. Cheap to clone.
#[derive(Clone, Copy)]
pub struct Embedded(&'static Collector);

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Embedded(…)")
    }
}

impl Embedded {
    /// Becomes the recorder of this process. Reads `METRICS_NAMESPACE` (`MobileBff`).
    ///
    /// # Errors
    /// When the process has a recorder already.
    pub fn install(env: &Env) -> Result<Self, ConfigError> {
        let name = "METRICS_NAMESPACE";
        let namespace = env.optional(name).unwrap_or("MobileBff").to_owned();
        let collector = metrics_cloudwatch_embedded::Builder::new().cloudwatch_namespace(namespace).init();
        let collector = collector.map_err(|why| ConfigError::new(name, format!("cannot be used: {why}")))?;
        describe();
        Ok(Self(collector))
    }

    /// Writes what was recorded since the last time to standard output: nothing may wait, since the environment freezes
    /// after an answer.
    pub fn flush(self) {
        let mut lines = Vec::new();
        let written = self.0.flush(&mut lines).and_then(|()| std::io::stdout().lock().write_all(&lines));
        if let Err(error) = written {
            tracing::error!(%error, "metrics could not be written");
        }
    }
}

/// How often samples are put into their classes, whether or not anybody fetches them: until then each one is kept.
const UPKEEP: Duration = Duration::from_secs(5);

/// Becomes the recorder of this process, and serves `GET /metrics`. Needs a runtime, on which it does its upkeep.
///
/// # Errors
/// When the process has a recorder already.
pub fn prometheus() -> Result<Router, ConfigError> {
    let unusable = |why: &dyn std::fmt::Display| ConfigError::new("/metrics", format!("cannot be served: {why}"));
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(LATENCY.to_owned()), &LATENCY_BUCKETS);
    let recorder = builder.map_err(|why| unusable(&why))?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|why| unusable(&why))?;
    describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Router::new().route("/metrics", get(render)).layer(Extension(handle)))
}

async fn render(Extension(handle): Extension<PrometheusHandle>) -> Response {
    handle.run_upkeep();
    let content_type: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    let mut response = ([content_type], handle.render()).into_response();
    response.extensions_mut().insert(Uncoded);
    response
}
