//! The home screen when a part of it is slow or dead.

use std::time::{Duration, Instant};

use axum::Router;
use serde_json::{Value, json};
use tests::server::{Server, demo_database};

use crate::proxy::{Fault, Proxy};

const PARTS: [(&str, &str); 3] =
    [("profile", "bff-users"), ("recentOrders", "bff-orders"), ("featuredProducts", "bff-products")];

/// Checks that exactly these parts are missing, each for this reason.
fn check(body: &Value, missing: &[&str], code: &str, retry_after: u64) {
    assert_eq!(body["complete"], missing.is_empty(), "{body}");
    for (part, _) in PARTS {
        let gone = missing.contains(&part);
        assert_eq!(body[part].is_null(), gone, "{part}: {body}");
        let error = json!({ "code": code, "retryable": true, "retryAfter": retry_after });
        assert_eq!(body["errors"].get(part), gone.then_some(&error), "{part}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_part_is_null_and_named_and_the_rest_is_served() {
    let database = demo_database().await;
    for (part, table) in PARTS {
        let (proxy, endpoint) = Proxy::start(database.endpoint()).await;
        proxy.set_fault(Some((table, Fault::Broken)));
        let server = Server::on(&endpoint).await;
        let answer = server.get("/api/v2/home", Some("user-123")).await;
        assert_eq!(answer.status, 200);
        check(&answer.body, &[part], "BACKEND_ERROR", 30);
    }
}

/// A part that never answers costs its own deadline and no more, and the others come whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_part_costs_its_own_deadline() {
    let database = demo_database().await;
    for (part, table) in PARTS {
        let (proxy, endpoint) = Proxy::start(database.endpoint()).await;
        proxy.set_fault(Some((table, Fault::Silent)));
        let patient = [("STORE_TIMEOUT_MS", "60000"), ("STORE_ATTEMPT_TIMEOUT_MS", "60000")];
        let settings = [patient[0], patient[1], ("HOME_PART_TIMEOUT_MS", "1200")];
        let server = Server::with(&endpoint, settings, Router::new()).await;
        let asked = Instant::now();
        let answer = server.get("/api/v2/home", Some("user-123")).await;
        let took = asked.elapsed();
        check(&answer.body, &[part], "TIMEOUT", 5);
        assert!(took >= Duration::from_millis(1200) && took < Duration::from_secs(5), "{part}: {took:?}");
    }
}

/// Where the whole request has less time than a part may take, the parts get less: what is there is still sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_parts_end_before_the_request_does() {
    let database = demo_database().await;
    let (proxy, endpoint) = Proxy::start(database.endpoint()).await;
    proxy.set_fault(Some(("bff-orders", Fault::Silent)));
    let settings = [
        ("REQUEST_TIMEOUT_MS", "1500"),
        ("HOME_PART_TIMEOUT_MS", "30000"),
        ("STORE_TIMEOUT_MS", "60000"),
        ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
    ];
    let server = Server::with(&endpoint, settings, Router::new()).await;
    let answer = server.get("/api/v2/home", Some("user-123")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    check(&answer.body, &["recentOrders"], "TIMEOUT", 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_part_there_is_still_an_answer() {
    let nowhere = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let server = Server::on(&format!("http://{nowhere}")).await;
    let answer = server.get("/api/v2/home", Some("user-123")).await;
    assert_eq!(answer.status, 200);
    check(&answer.body, &["profile", "recentOrders", "featuredProducts"], "BACKEND_ERROR", 30);
    // A screen with holes is not kept as if it were whole.
    assert_eq!(answer.headers["cache-control"], "no-store");
}
