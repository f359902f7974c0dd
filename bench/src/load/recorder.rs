//! A store that has answered everything before: it passes each kind of request on once, and repeats the answer. So what is
//! measured is the servers, not the embedded database.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::Failure;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

#[derive(Clone)]
struct Recorder {
    upstream: String,
    client: reqwest::Client,
    /// By operation and table.
    answers: Arc<RwLock<HashMap<(String, String), Bytes>>>,
}

/// Starts one in front of a `DynamoDB`, and says where it is.
pub(crate) async fn start(upstream: String) -> Result<String, Failure> {
    let recorder = Recorder { upstream, client: reqwest::Client::new(), answers: Arc::default() };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let service = Router::new().fallback(answer).with_state(recorder);
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(endpoint)
}

async fn answer(State(recorder): State<Recorder>, headers: HeaderMap, body: Bytes) -> Response {
    match recorder.answer(&headers, &body).await {
        Ok(bytes) => ([(CONTENT_TYPE, "application/x-amz-json-1.0")], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Recorder {
    async fn answer(&self, headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Failure> {
        let operation = headers.get(TARGET).ok_or("no operation")?.to_str()?;
        let table = table(body).ok_or("no table")?;
        let key = (operation.to_owned(), table.to_owned());
        if let Some(bytes) = self.answers.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(bytes.clone());
        }
        let mut request = self.client.post(&self.upstream).body(body.clone());
        for name in ["x-amz-target", "x-amz-date", "authorization", "content-type"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        // Only JSON is worth repeating.
        serde_json::from_slice::<Value>(&answer)?;
        self.answers.write().unwrap_or_else(PoisonError::into_inner).insert(key, answer.clone());
        Ok(answer)
    }
}

/// The name of the table, found without parsing all of it.
fn table(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"TableName\":\"")?;
    rest.split('"').next()
}
