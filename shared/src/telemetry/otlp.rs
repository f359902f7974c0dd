//! OTLP over HTTP in its JSON form ([OTLP 1](https://opentelemetry.io/docs/specs/otlp/#otlphttp)), with the names of the
//! [semantic conventions of HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
//!
//! Written here: with the JSON and the client that are in the binary anyway it is this file, where the crates of
//! OpenTelemetry bring protobuf, gRPC types and an SDK.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use reqwest::Url;
use serde_json::{Value, json};

use super::{OwnSpan, TraceParent};
use crate::{
    backend::upstream::{Client, Failure},
    config::{ConfigError, Env},
    error::{ApiError, causes},
    http::context::{ApiVersion, XrayTrace},
    telemetry::trace::Trace,
};

/// How long sending may take. On Lambda an answer waits for it, with a collector on the same machine.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a collector that fails is left alone; what happens meanwhile is not told.
const REST: Duration = Duration::from_secs(10);
/// How many spans wait at most; more are dropped.
const CAPACITY: usize = 2048;
/// The longest answer of a collector that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// `SPAN_KIND_SERVER`
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

/// Sends spans to a collector.
#[derive(Debug)]
pub(super) struct Exporter {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    service: String,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Value>,
    dropped: usize,
    rest_until: Option<Instant>,
}

/// A request that is under way.
#[derive(Debug)]
struct Started {
    own: TraceParent,
    parent: Option<TraceParent>,
    method: Method,
    route: Option<MatchedPath>,
    version: Option<ApiVersion>,
    at: SystemTime,
    clock: Instant,
}

impl Exporter {
    pub(super) fn new(endpoint: &str, env: &Env) -> Result<Option<Self>, ConfigError> {
        let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let unusable = |why: &dyn std::fmt::Display| ConfigError::new(name, format!("cannot be used: {why}"));
        let traces = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let endpoint: Url = traces.parse().map_err(|why| unusable(&why))?;
        let client = if endpoint.scheme() == "https" { Client::new() } else { Client::unencrypted() };
        let service = env.optional("OTEL_SERVICE_NAME").or(env.optional("AWS_LAMBDA_FUNCTION_NAME"));
        Ok(Some(Self {
            client: client.map_err(|why| unusable(&why))?,
            endpoint,
            headers: headers(env)?,
            service: service.unwrap_or("mobile-bff").to_owned(),
            waiting: Mutex::default(),
        }))
    }

    /// Records what the caller records; without a word from the caller, everything.
    pub(super) async fn record(&self, mut request: Request, next: Next) -> Response {
        let xray = request.extensions().get().map(|XrayTrace(id)| id.as_str());
        let parent = Trace::of(request.headers(), xray).parent;
        if parent.is_some_and(|parent| !parent.sampled) {
            return next.run(request).await;
        }
        let own = TraceParent::child_of(parent);
        request.extensions_mut().insert(OwnSpan(own));
        let span = Started {
            own,
            parent,
            method: request.method().clone(),
            route: request.extensions().get().cloned(),
            version: ApiVersion::of_path(request.uri().path()),
            at: SystemTime::now(),
            clock: Instant::now(),
        };
        let response = next.run(request).await;
        let span = span.finish(&response);
        let mut waiting = self.waiting();
        if waiting.spans.len() < CAPACITY {
            waiting.spans.push(span);
        } else {
            waiting.dropped += 1;
        }
        response
    }

    /// Sends what waits.
    pub(super) async fn flush(&self) {
        let (spans, dropped) = {
            let mut waiting = self.waiting();
            (std::mem::take(&mut waiting.spans), std::mem::take(&mut waiting.dropped))
        };
        let resting = self.waiting().rest_until.is_some_and(|until| Instant::now() < until);
        if spans.is_empty() || resting {
            return;
        }
        let count = spans.len();
        if let Err(failure) = self.send(spans).await {
            tracing::warn!(spans = count, dropped, cause = causes(&failure), "spans could not be sent");
            self.waiting().rest_until = Some(Instant::now() + REST);
        }
    }

    async fn send(&self, spans: Vec<Value>) -> Result<(), Failure> {
        let attributes = [text("service.name", &self.service), text("service.version", env!("CARGO_PKG_VERSION"))];
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": attributes },
            "scopeSpans": [{
                "scope": { "name": "mobile-bff", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }] });
        let mut request = reqwest::Request::new(Method::POST, self.endpoint.clone());
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.to_string().into());
        let (status, ..) = self.client.send(request, MAX_ANSWER, PATIENCE).await?;
        if status.is_success() { Ok(()) } else { Err(Failure::Status(status, None)) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Started {
    fn finish(self, response: &Response) -> Value {
        let end = self.at + self.clock.elapsed();
        let status = response.status();
        // A path holds ids; its template does not.
        let route = self.route.as_ref().map(MatchedPath::as_str);
        let mut attributes = vec![
            text("http.request.method", self.method.as_str()),
            json!({ "key": "http.response.status_code", "value": { "intValue": status.as_u16().to_string() } }),
        ];
        attributes.extend(route.map(|route| text("http.route", route)));
        attributes.extend(self.version.map(|version| text("bff.api_version", version.as_str())));
        let error = response.extensions().get::<ApiError>().map(|error| error.code().facts().name);
        attributes.extend(error.map(|code| text("error.type", code)));
        let mut span = json!({
            "traceId": self.own.trace_id(),
            "spanId": self.own.span_id(),
            "name": route.map_or_else(|| self.method.to_string(), |route| format!("{} {route}", self.method)),
            "kind": SERVER,
            "startTimeUnixNano": nanos(self.at),
            "endTimeUnixNano": nanos(end),
            "attributes": attributes,
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = parent.span_id().into();
        }
        // What a client gets wrong is no failure of a server.
        if status.is_server_error() {
            span["status"] = json!({ "code": ERROR });
        }
        span
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are strings in protobuf's JSON.
fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// `api-key=secret,other=a%20b`: names and percent-encoded values.
fn headers(env: &Env) -> Result<HeaderMap, ConfigError> {
    let name = "OTEL_EXPORTER_OTLP_HEADERS";
    // The value is a secret as a rule, so the sentence does not repeat it.
    let wrong = || ConfigError::new(name, "is not a list such as api-key=value,other=value");
    let pairs = env.optional(name).unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = pair.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    };
    pairs.map(|pair| header(pair).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::oneshot,
        time::timeout,
    };

    use super::*;
    use crate::telemetry::spans::Spans;

    /// The work ends while they are on their way.
    #[tokio::test]
    async fn what_is_being_sent_at_the_end_arrives() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let env = [("OTEL_SERVICE_NAME", "bff")].into_iter().collect();
        let exporter = Exporter::new(&endpoint, &env).expect("usable").expect("one");
        exporter.waiting().spans.push(json!({ "name": "the last" }));
        let spans = Spans(Some(Arc::new(exporter)));
        let (has_come, comes) = oneshot::channel();
        let collector = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("the last") {
                stream.read_buf(&mut request).await.expect("a request");
            }
            has_come.send(()).expect("the work waits");
            let given_up = timeout(Duration::from_millis(100), stream.read_u8()).await.is_ok();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("sent");
            given_up
        });
        spans.send_while(comes).await.expect("it has come");
        assert!(!collector.await.expect("no panic"), "the sender has not waited for its answer");
    }

    #[test]
    fn headers_are_a_list_that_is_never_repeated() {
        let read = |text: &str| headers(&[("OTEL_EXPORTER_OTLP_HEADERS", text)].into_iter().collect());
        let good = read(" api-key=a%20b , other=c=d,").expect("good");
        assert_eq!(
            (good.len(), &good["api-key"], &good["other"]),
            (2, &"a b".parse().expect("ok"), &"c=d".parse().expect("ok"))
        );
        for bad in ["hunter2", "a b=hunter2", "a=hunter2%0a"] {
            let sentence = read(bad).expect_err(bad).to_string();
            assert!(
                sentence.starts_with("OTEL_EXPORTER_OTLP_HEADERS is not") && !sentence.contains("hunter2"),
                "{sentence}"
            );
        }
    }
}
