//! A proxy in front of a DynamoDB, which notes what passes and can hold back what is for one table.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use tests::server::serve;

/// What happens to the requests for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are never answered.
    Silent,
    /// They are answered with an error at once.
    Broken,
}

/// A request that passed: the operation, the table, and the bytes of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) operation: String,
    pub(crate) table: String,
    pub(crate) bytes: usize,
}

/// A running proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    upstream: String,
    client: reqwest::Client,
    passed: Arc<Mutex<Vec<Passed>>>,
    fault: Arc<Mutex<Option<(String, Fault)>>>,
}

impl Proxy {
    /// Starts one, and tells where it is.
    pub(crate) async fn start(upstream: String) -> (Self, String) {
        shared::backend::upstream::install_tls_provider();
        let client = reqwest::Client::new();
        let proxy = Self { upstream, client, passed: Arc::default(), fault: Arc::default() };
        let service = Router::new().fallback(forward).with_state(proxy.clone());
        (proxy, serve(service).await)
    }

    /// What has passed since the last look.
    pub(crate) fn look(&self) -> Vec<Passed> {
        std::mem::take(&mut self.passed.lock().unwrap())
    }

    /// From now on this happens to the requests for a table; or nothing.
    pub(crate) fn set_fault(&self, fault: Option<(&str, Fault)>) {
        *self.fault.lock().unwrap() = fault.map(|(table, fault)| (table.to_owned(), fault));
    }
}

async fn forward(State(proxy): State<Proxy>, headers: HeaderMap, body: Bytes) -> Response {
    let operation = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let table = request["TableName"].as_str().unwrap_or_default().to_owned();
    let fault = proxy.fault.lock().unwrap().clone();
    match fault.filter(|(name, _)| *name == table) {
        Some((_, Fault::Silent)) => std::future::pending().await,
        Some((_, Fault::Broken)) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => {}
    }
    let mut onward = proxy.client.post(&proxy.upstream).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
        onward = onward.header(name, value);
    }
    let answer = onward.send().await.unwrap();
    let (status, content_type) = (answer.status(), answer.headers()["content-type"].clone());
    let bytes = answer.bytes().await.unwrap();
    proxy.passed.lock().unwrap().push(Passed { operation, table, bytes: bytes.len() });
    (status, [("content-type", content_type)], Body::from(bytes)).into_response()
}
