//! `Server-Timing`, for those who develop.

use std::collections::BTreeMap;

use axum::Router;
use dev::upstream::Upstream;
use tests::{
    case::Request,
    server::{Server, demo_database},
};

/// The parts of an answer and their milliseconds.
async fn parts(server: &Server, target: &str) -> Option<BTreeMap<String, f64>> {
    let headers = [("x-server-timing".to_owned(), "1".to_owned())].into();
    let request =
        Request { method: "GET".into(), target: target.into(), user: Some("user-123".into()), headers, body: None };
    let answer = server.send(&request).await;
    let parts = answer.headers.get("server-timing")?.split(", ").map(|part| {
        let mut members = part.split(';');
        let (name, duration) = (members.next().unwrap(), members.next().unwrap());
        (name.to_owned(), duration.strip_prefix("dur=").unwrap().parse().unwrap())
    });
    Some(parts.collect())
}

fn names(parts: &BTreeMap<String, f64>) -> Vec<&str> {
    parts.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_is_told_where_its_time_goes() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    for target in ["/api/v2/users/me", "/api/v2/orders?limit=2", "/api/v2/home"] {
        let parts = parts(&server, target).await.expect("it was asked for");
        assert_eq!(names(&parts), ["auth", "limit", "render", "store", "total"], "{target}");
        // Parts that run beside each other may add up to more than the whole; those that do not run alone may not.
        assert!(parts["auth"] + parts["render"] <= parts["total"], "{parts:?}");
    }
    assert_eq!(names(&parts(&server, "/nothing").await.unwrap()), ["auth", "total"]);
    assert!(!server.get("/api/v2/users/me", Some("user-123")).await.headers.contains_key("server-timing"));

    let upstream = Upstream::on_any_port().await.unwrap();
    let server = Server::with(&database.endpoint(), [("BACKEND_USERS_URL", &upstream.url())], Router::new()).await;
    let parts = parts(&server, "/api/v2/users/me").await.unwrap();
    assert_eq!(names(&parts), ["auth", "limit", "render", "total", "upstream"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_where_it_is_off() {
    let database = demo_database().await;
    let server = Server::with(&database.endpoint(), [("SERVER_TIMING", "off")], Router::new()).await;
    assert_eq!(parts(&server, "/api/v2/users/me").await, None);
}
