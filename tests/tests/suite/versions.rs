//! The end of a version of the API.

use axum::Router;
use serde_json::json;
use tests::{
    case::Request,
    server::{Server, demo_database},
};

fn policies(deprecated: &str, sunset: &str) -> String {
    json!({ "v1": { "deprecated": deprecated, "sunset": sunset, "successor": "v2" } }).to_string()
}

/// Whatever the answer is, it says when the version ends and what comes after.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_deprecated_version_says_so() {
    let database = demo_database().await;
    let text = policies("2026-01-01T00:00:00Z", "2999-01-01T12:30:00Z");
    let server = Server::with(&database.endpoint(), [("API_VERSIONS", &text)], Router::new()).await;
    let me = Some("user-123");
    for (target, user, status) in [
        ("/api/v1/users/user-123", me, 200),
        ("/api/v1/orders/o-7-01?level=full", me, 404),
        ("/api/v1/orders", None, 401),
        ("/api/v1/products?limit=0", None, 400),
        ("/api/v1/products/p-0001", None, 200),
    ] {
        let answer = server.get(target, user).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.headers["deprecation"], "@1767225600", "{target}");
        assert_eq!(answer.headers["sunset"], "Tue, 01 Jan 2999 12:30:00 GMT", "{target}");
        let path = target.split('?').next().unwrap().replace("/v1/", "/v2/");
        let link = format!(
            "<{path}>; rel=\"successor-version\", \
             <https://docs.example.com/mobile-bff/versions>; rel=\"deprecation\"; type=\"text/html\""
        );
        assert_eq!(answer.headers["link"], link, "{target}");
    }
    for target in ["/api/v2/users/user-123", "/api/v2/products", "/health", "/api/v1/nothing"] {
        let answer = server.get(target, me).await;
        for name in ["deprecation", "sunset", "link"] {
            assert!(!answer.headers.contains_key(name), "{target}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_sunset_a_version_is_gone_and_leads_to_the_next() {
    let database = demo_database().await;
    let text = policies("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    let server = Server::with(&database.endpoint(), [("API_VERSIONS", &text)], Router::new()).await;
    for (method, target) in
        [("GET", "/api/v1/products"), ("DELETE", "/api/v1/orders/o-123-01"), ("GET", "/api/v1/users/x")]
    {
        let request = Request {
            method: method.into(),
            target: target.into(),
            user: Some("user-123".into()),
            headers: [].into(),
            body: None,
        };
        let answer = server.send(&request).await;
        assert_eq!((answer.status, &answer.body["code"]), (410, &json!("VERSION_SUNSET")), "{target}");
        assert_eq!(answer.body["retryable"], false);
        assert_eq!(answer.headers["content-type"], "application/json", "version 1 to its end");
        let successor = target.replace("/v1/", "/v2/");
        assert!(answer.headers["link"].starts_with(&format!("<{successor}>; rel=\"successor-version\"")), "{answer:?}");
        assert_eq!(answer.headers["sunset"], "Wed, 01 Jan 2025 00:00:00 GMT");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let kept = server.get("/api/v2/orders/o-123-01", Some("user-123")).await;
    assert_eq!(kept.status, 200, "nothing was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_group_can_go_first() {
    let database = demo_database().await;
    let text = json!({ "products/v1": { "deprecated": "2024-01-01T00:00:00Z", "sunset": "2025-01-01T00:00:00Z" } });
    let server = Server::with(&database.endpoint(), [("API_VERSIONS", &text.to_string())], Router::new()).await;
    let gone = server.get("/api/v1/products/p-0001", None).await;
    assert_eq!(gone.status, 410);
    assert!(!gone.headers["link"].contains("successor"), "there is none");
    assert_eq!(server.get("/api/v1/users/user-123", Some("user-123")).await.status, 200);
}
