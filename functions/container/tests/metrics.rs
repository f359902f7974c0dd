//! The container as a process: what Prometheus fetches from it.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{process::Stdio, time::Duration};

use dev::settings;
use tests::server::{SETTINGS, demo_database, free_port};
use tokio::process::{Child, Command};

/// Starts the container on a free port.
async fn container(endpoint: &str, changes: &[(&str, &str)]) -> (Child, String) {
    let port = free_port().to_string();
    let own = [("AWS_ENDPOINT_URL_DYNAMODB", endpoint), ("PORT", &port), ("LOG_LEVEL", "off")];
    let child = Command::new(env!("CARGO_BIN_EXE_container"))
        .env_clear()
        .envs(settings::pairs().chain(SETTINGS))
        .envs(own)
        .envs(changes.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let address = format!("http://127.0.0.1:{port}");
    shared::backend::upstream::install_tls_provider();
    for _ in 0..200 {
        if reqwest::get(format!("{address}/health")).await.is_ok() {
            return (child, address);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the container does not answer");
}

async fn metrics(address: &str) -> String {
    let client = reqwest::Client::new();
    let answer = client.get(format!("{address}/metrics")).header("accept-encoding", "br, gzip").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    assert!(!answer.headers().contains_key("content-encoding"), "never compressed");
    assert!(!answer.headers().contains_key("ratelimit-policy"), "never limited");
    answer.text().await.unwrap()
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
    let (_child, address) = container(&database.endpoint(), &[]).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let client = reqwest::Client::new();
    for target in ["/api/v1/products/p-0001", "/api/v1/products/p-0002", "/api/v2/home", "/api/v2/products?limit=0"] {
        client.get(format!("{address}{target}")).bearer_auth(&token).send().await.unwrap();
    }
    let page = metrics(&address).await;
    let products = [r#"route="/api/v1/products/{id}""#, r#"version="v1""#];
    let served = [&products[..], &[r#"status="2xx""#]].concat();
    assert_eq!(value(&page, "Requests", &served), Some(2.0), "{page}");
    assert_eq!(value(&page, "APIVersionUsage", &products), Some(2.0), "{page}");
    assert_eq!(value(&page, "Latency_count", &served), Some(2.0), "{page}");
    assert_eq!(value(&page, "Requests", &[r#"route="/api/v2/products""#, r#"status="4xx""#]), Some(1.0), "{page}");
    assert!(value(&page, "BytesBeforeSlimming", &served) > value(&page, "BytesAfterSlimming", &served), "{page}");
    assert!(!page.contains("p-0001") && !page.contains("user-123"), "a label is a template, never an id: {page}");
}

/// The table of counters is missing: every read goes through, and is counted as one that was not checked.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_without_its_store_is_seen() {
    let database = demo_database().await;
    let (_child, address) = container(&database.endpoint(), &[("RATE_LIMIT_TABLE", "no-such-table")]).await;
    for _ in 0..5 {
        assert_eq!(reqwest::get(format!("{address}/api/v2/products/p-0001")).await.unwrap().status(), 200);
    }
    let page = metrics(&address).await;
    assert_eq!(value(&page, "RateLimitDegraded", &[]), Some(5.0), "{page}");
}
