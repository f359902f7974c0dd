//! The floor that the container is measured against: axum's own server, and nothing else.
//!
//! It answers `GET /health` and `GET /api/v2/products` with the bodies that the container answers with, serialised anew for
//! each request. It reads no store, checks nothing and writes no log.

use std::{env, error::Error, fs, sync::Arc};

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port, products] = [1, 2].map(|index| env::args().nth(index).unwrap_or_default());
    let products: Arc<Value> = Arc::new(serde_json::from_str(&fs::read_to_string(products)?)?);
    let routes = Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/api/v2/products", get(async |State(products): State<Arc<Value>>| Json(products)))
        .with_state(products);
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    Ok(axum::serve(listener, routes).await?)
}
