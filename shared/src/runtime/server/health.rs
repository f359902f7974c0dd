//! How the server says whether it is well.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    config::{ConfigError, Env},
    error::ApiError,
    http::compress::Uncoded,
    runtime::App,
};

/// How long what the store said is taken for granted: a load balancer asks from several nodes.
const FRESH: Duration = Duration::from_secs(1);
/// How long a healthy server may take for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// When the store was asked, and what came of it.
type Said = (Instant, Result<(), ApiError>);

#[derive(Clone)]
struct Readiness {
    app: App,
    draining: Arc<AtomicBool>,
    /// What the store said last.
    store: Arc<Mutex<Option<Said>>>,
}

pub(super) fn ready(app: App, draining: Arc<AtomicBool>) -> Router {
    Router::new().route("/health/ready", get(answer)).with_state(Readiness { app, draining, store: Arc::default() })
}

async fn answer(State(readiness): State<Readiness>) -> Result<Response, ApiError> {
    if readiness.draining.load(Ordering::Relaxed) {
        return Err(ApiError::unavailable("the server is about to stop"));
    }
    readiness.store().await?;
    let mut response = axum::Json(json!({ "status": "ready" })).into_response();
    response.extensions_mut().insert(Uncoded);
    Ok(response)
}

impl Readiness {
    /// What the store says; one question at a time.
    async fn store(&self) -> Result<(), ApiError> {
        let mut last = self.store.lock().await;
        match &*last {
            Some((asked, said)) if asked.elapsed() < FRESH => said.clone(),
            _ => {
                let said = self.app.ask_store().await;
                *last = Some((Instant::now(), said.clone()));
                said
            }
        }
    }
}

/// Asks the server on this machine whether it lives: for a health check in an image without a shell. Reads `PORT` (8080).
///
/// # Errors
/// The setting that is wrong, or what the server answers instead of 200.
pub(in crate::runtime) fn healthcheck(env: &Env) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let port: u16 = env.parsed("PORT", 8080)?;
    let failed = |why: &dyn std::fmt::Display| ConfigError::new("/health", format!("on port {port}: {why}"));
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)
        .map_err(|why| failed(&why))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|why| failed(&why))?;
    let line = answer.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(failed(&format!("answered {line:?}")).into()) }
}
