//! What Prometheus fetches, from a port of its own.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{
    container::Container,
    server::{demo_database, plain_client},
};
use tokio::time::sleep;

use crate::{
    container,
    wire::{PATIENCE, Wire},
};

async fn metrics(address: SocketAddr) -> String {
    let answer = plain_client()
        .get(format!("http://{address}/metrics"))
        .header("accept-encoding", "br, gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    assert!(!answer.headers().contains_key("content-encoding"), "never compressed");
    assert!(!answer.headers().contains_key("ratelimit-policy"), "never limited");
    answer.text().await.unwrap()
}

/// A public load balancer leads to the port of the service.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_not_on_the_port_of_the_service() {
    let database = demo_database().await;
    let endpoint = database.endpoint();
    let container = container(&endpoint, []).await;
    let answer = plain_client().get(format!("http://{}/metrics", container.address)).send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

/// What is not there has an answer of the router's own, and no body where none may be.
#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_the_metrics_speaks_http() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut wire = Wire::open(container.metrics).await;
    wire.write("HEAD /nothing HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let answer = wire.read().await;
    assert!(answer.status == 404 && answer.body.is_empty() && !answer.closes(), "{answer:?}");
    assert_eq!(wire.get("/metrics").await.status, 200, "the connection is as good as before");
}

/// The value of a series, whatever the order of its labels.
fn value(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = page.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_gets_the_same_metrics() {
    let database = demo_database().await;
    let (endpoint, client) = (database.endpoint(), plain_client());
    let container = container(&endpoint, []).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    for target in ["/api/v1/products/p-0001", "/api/v1/products/p-0002", "/api/v2/home", "/api/v2/products?limit=0"] {
        client.get(format!("http://{}{target}", container.address)).bearer_auth(&token).send().await.unwrap();
    }
    let page = metrics(container.metrics).await;
    let products = [r#"route="/api/v1/products/{id}""#, r#"version="v1""#];
    let served = [&products[..], &[r#"status="2xx""#]].concat();
    assert_eq!(value(&page, "Requests", &served), Some(2.0), "{page}");
    assert_eq!(value(&page, "APIVersionUsage", &products), Some(2.0), "{page}");
    assert_eq!(value(&page, "Latency_count", &served), Some(2.0), "{page}");
    assert_eq!(value(&page, "Requests", &[r#"route="/api/v2/products""#, r#"status="4xx""#]), Some(1.0), "{page}");
    assert!(value(&page, "BytesBeforeSlimming", &served) > value(&page, "BytesAfterSlimming", &served), "{page}");
    assert!(value(&page, "Connections", &[]) >= Some(1.0), "{page}");
    assert!(!page.contains("p-0001") && !page.contains("user-123"), "a label is a template, never an id: {page}");
}

/// The table of counters is missing: every read goes through, and is counted as one that was not checked.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_without_its_store_is_seen() {
    let database = demo_database().await;
    let (endpoint, client) = (database.endpoint(), plain_client());
    let container = container(&endpoint, [("RATE_LIMIT_TABLE", "no-such-table")]).await;
    for _ in 0..5 {
        let product = client.get(format!("http://{}/api/v2/products/p-0001", container.address));
        assert_eq!(product.send().await.unwrap().status(), 200);
    }
    let page = metrics(container.metrics).await;
    assert_eq!(value(&page, "RateLimitDegraded", &[]), Some(5.0), "{page}");
}

/// What is computed from the bytes that a request logs is computed from about as many as it does log.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_logs_as_much_as_its_cost_is_computed_from() {
    let measured: Value = serde_json::from_str(include_str!("../../../../cost/measured.json")).unwrap();
    let expected = measured["logs"]["containerBytes"].as_f64().unwrap();
    let database = demo_database().await;
    let mut container = container(&database.endpoint(), []).await;
    // From an app, by way of a load balancer.
    let product = plain_client()
        .get(format!("http://{}/api/v2/products/p-0001", container.address))
        .header("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678")
        .header("x-app-version", "5.2.1 (iOS 19; 88)");
    assert_eq!(product.send().await.unwrap().status(), 200);
    let line = container.logged(|line| line["route"] == "/api/v2/products/{id}").await;
    let bytes = f64::from(u32::try_from(line.to_string().len() + 1).unwrap());
    assert!((bytes / expected - 1.0).abs() < 0.1, "{bytes} bytes a request, and {expected} in cost/measured.json");
}

/// A metric without labels, 0 where there is none yet.
pub(crate) async fn value_of(address: SocketAddr, name: &str) -> f64 {
    value(&metrics(address).await, name, &[]).unwrap_or_default()
}

/// The connections that are open, the one that asks included.
pub(crate) async fn open_connections(address: SocketAddr) -> f64 {
    value_of(address, "Connections").await
}

/// The requests in flight when nobody else holds one: the metrics are asked for by one.
pub(crate) const NONE: f64 = 1.0;

/// Waits until so many requests are in flight.
pub(crate) async fn in_flight(address: SocketAddr, is_it: impl Fn(f64) -> bool) {
    let start = Instant::now();
    while !is_it(value_of(address, "RequestsInFlight").await) {
        assert!(start.elapsed() < PATIENCE, "the requests do not come, or do not end");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A server sends its spans every second.
#[tokio::test(flavor = "multi_thread")]
async fn spans_are_sent_while_it_serves() {
    if !Container::is_ours() {
        eprintln!("skipped: the image is built without the feature `otlp`");
        return;
    }
    let database = demo_database().await;
    let collector = tests::collector::Collector::start().await;
    let (endpoint, collected) = (database.endpoint(), collector.endpoint());
    let container =
        container(&endpoint, [("OTEL_EXPORTER_OTLP_ENDPOINT", collected.as_str()), ("OTEL_SERVICE_NAME", "bff")]).await;
    let product = plain_client().get(format!("http://{}/api/v2/products/p-0001", container.address));
    assert_eq!(product.send().await.unwrap().status(), 200);
    let mut spans = Vec::new();
    while !spans.iter().any(|span: &tests::collector::Span| span.name == "GET /api/v2/products/{id}") {
        spans.extend(collector.wait().await);
    }
    assert!(spans.iter().all(|span| span.service == "bff" && span.ids[2].is_none()), "new traces: {spans:?}");
}
