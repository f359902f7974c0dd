//! Browsers on other origins.

use std::collections::BTreeMap;

use axum::Router;
use tests::{
    case::{Request, Response},
    server::{Server, demo_database},
};

const APP: &str = "https://app.example.com";
const ORIGINS: (&str, &str) = ("CORS_ORIGINS", "https://app.example.com, http://localhost:5173");

async fn send(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let headers: BTreeMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    server.send(&Request { method: method.into(), target: target.into(), user: None, headers, body: None }).await
}

/// The words of a header that is a list.
fn list<'a>(answer: &'a Response, name: &str) -> Vec<&'a str> {
    answer.headers.get(name).into_iter().flat_map(|value| value.split(',')).map(str::trim).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_named_may_ask_and_read() {
    let database = demo_database().await;
    let server = Server::with(&database.endpoint(), [ORIGINS], Router::new()).await;
    for target in ["/api/v2/orders/o-1", "/api/v2/products", "/api/v1/users/user-1"] {
        let asked = [
            ("origin", APP),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,if-match,content-type"),
        ];
        let answer = send(&server, "OPTIONS", target, &asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["access-control-allow-origin"], APP);
        assert!(list(&answer, "access-control-allow-methods").contains(&"PATCH"), "{answer:?}");
        for header in ["authorization", "if-match", "content-type", "idempotency-key"] {
            assert!(list(&answer, "access-control-allow-headers").contains(&header), "{header}: {answer:?}");
        }
        assert_eq!(answer.headers["access-control-max-age"], "7200");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "no cookies");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    // Errors too: a page that may not read why it failed can only guess.
    for (target, status) in [("/api/v2/products?limit=1", 200), ("/api/v2/users/me", 401), ("/nothing", 404)] {
        let answer = send(&server, "GET", target, &[("origin", "http://localhost:5173")]).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.headers["access-control-allow-origin"], "http://localhost:5173", "{target}");
        let exposed = list(&answer, "access-control-expose-headers");
        for header in
            ["etag", "deprecation", "sunset", "link", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"]
        {
            assert!(exposed.contains(&header), "{target}: {header}");
        }
        assert!(list(&answer, "vary").iter().any(|name| name.eq_ignore_ascii_case("origin")), "{target}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may() {
    let database = demo_database().await;
    let on = Server::with(&database.endpoint(), [ORIGINS], Router::new()).await;
    let off = Server::on(&database.endpoint()).await;
    for (server, origin) in
        [(&on, "https://evil.example.com"), (&on, "https://app.example.com.evil.com"), (&on, "null"), (&off, APP)]
    {
        let asked = [("origin", origin), ("access-control-request-method", "GET")];
        for (method, headers) in [("OPTIONS", &asked[..]), ("GET", &asked[..1])] {
            let answer = send(server, method, "/api/v2/products?limit=1", headers).await;
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{origin}: {answer:?}");
        }
    }
    let answer =
        send(&off, "OPTIONS", "/api/v2/products", &[("origin", APP), ("access-control-request-method", "GET")]).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (405, Some("METHOD_NOT_ALLOWED")));
}
