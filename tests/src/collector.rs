//! A stand-in for an `OpenTelemetry` collector: OTLP over HTTP, in JSON.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};

use crate::server::serve;

/// What came, or what was wrong with it; a handler that panics would be seen by nobody.
type Received = Arc<Mutex<Vec<Result<Span, String>>>>;

/// A running collector.
#[derive(Clone, Debug)]
pub struct Collector {
    endpoint: String,
    received: Received,
}

/// A span as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Of the process that sent it.
    pub service: String,
    /// `traceId`, `spanId` and `parentSpanId`.
    pub ids: [Option<String>; 3],
    /// The name.
    pub name: String,
    /// The attributes, with numbers as texts.
    pub attributes: Vec<(String, String)>,
    /// Whether its status is an error.
    pub failed: bool,
}

impl Collector {
    /// On any free port.
    pub async fn start() -> Self {
        let received = Received::default();
        let routes = Router::new().route("/v1/traces", post(traces)).with_state(Arc::clone(&received));
        Self { endpoint: serve(routes).await, received }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// What has come since the last look.
    pub fn look(&self) -> Vec<Span> {
        let received = std::mem::take(&mut *self.received.lock().expect("no panic"));
        received.into_iter().collect::<Result<_, _>>().expect("OTLP")
    }

    /// Waits until something comes.
    pub async fn wait(&self) -> Vec<Span> {
        let come = async {
            loop {
                let spans = self.look();
                if !spans.is_empty() {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), come).await.expect("spans are sent")
    }
}

async fn traces(State(received): State<Received>, headers: HeaderMap, body: String) -> (StatusCode, Json<Value>) {
    let spans = if headers.get("content-type").is_some_and(|kind| kind == "application/json") {
        read(&body)
    } else {
        Err(format!("{headers:?}"))
    };
    let mut received = received.lock().expect("no panic");
    match spans {
        Ok(spans) => received.extend(spans.into_iter().map(Ok)),
        Err(wrong) => received.push(Err(wrong)),
    }
    // An `ExportTraceServiceResponse` that refuses nothing.
    (StatusCode::OK, Json(json!({})))
}

/// Reads an `ExportTraceServiceRequest` as strictly as the JSON mapping of OTLP is.
fn read(body: &str) -> Result<Vec<Span>, String> {
    let request: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let mut spans = Vec::new();
    for resource in list(&request["resourceSpans"])? {
        let about = attributes(&resource["resource"])?;
        let service = about.iter().find(|(key, _)| key == "service.name").ok_or("no service.name")?.1.clone();
        for scope in list(&resource["scopeSpans"])? {
            for span in list(&scope["spans"])? {
                let id = |name: &str, digits: usize| {
                    let text = span[name].as_str()?;
                    let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                    let fits = text.len() == digits && text.bytes().all(legal) && text.bytes().any(|byte| byte != b'0');
                    Some(if fits { Ok(text.to_owned()) } else { Err(format!("{name}: {text}")) })
                };
                let ids = [id("traceId", 32), id("spanId", 16), id("parentSpanId", 16)];
                let [trace, own, parent] = ids.map(Option::transpose);
                let time = |name: &str| {
                    span[name].as_str().and_then(|text| text.parse::<u64>().ok()).ok_or(format!("{name}: {span}"))
                };
                if time("endTimeUnixNano")? < time("startTimeUnixNano")? || span["kind"] != 2 {
                    return Err(span.to_string());
                }
                spans.push(Span {
                    service: service.clone(),
                    ids: [Some(trace?.ok_or("no traceId")?), Some(own?.ok_or("no spanId")?), parent?],
                    name: span["name"].as_str().ok_or("no name")?.to_owned(),
                    attributes: attributes(span)?,
                    failed: span["status"]["code"] == 2,
                });
            }
        }
    }
    Ok(spans)
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("not a list: {value}"))
}

fn attributes(holder: &Value) -> Result<Vec<(String, String)>, String> {
    let pair = |attribute: &Value| {
        let value = attribute["value"]["stringValue"].as_str().or(attribute["value"]["intValue"].as_str());
        let pair = attribute["key"].as_str().zip(value).map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| attribute.to_string())
    };
    list(&holder["attributes"])?.iter().map(pair).collect()
}
