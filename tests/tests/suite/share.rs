//! The shared cache: what it gives again, and what it must not.

use axum::Router;
use tests::{
    case::{Request, Response},
    server::{Server, demo_database},
};

use crate::proxy::Proxy;

const LIST: &str = "/api/v2/products?limit=3&level=full";

fn get(target: &str, user: Option<&str>, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Request { method: "GET".into(), target: target.into(), user: user.map(Into::into), headers, body: None }
}

/// Everything but the age.
fn without_age(mut answer: Response) -> Response {
    answer.headers.remove("age");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_may_share_is_given_again() {
    let database = demo_database().await;
    let (store, endpoint) = Proxy::start(database.endpoint()).await;
    let server = Server::with(&endpoint, [("SHARED_CACHE_MS", "600000")], Router::new()).await;
    for coding in ["identity", "gzip", "br"] {
        let request = get(LIST, None, &[("accept-encoding", coding)]);
        let made = server.send(&request).await;
        assert!(!store.look().is_empty(), "{coding}");
        assert!(!made.headers.contains_key("age"));
        let again = server.send(&request).await;
        assert_eq!(store.look(), [], "{coding}: neither a read nor a count");
        assert!(again.headers["age"].parse::<u64>().is_ok());
        assert_eq!(without_age(again), made, "{coding}");
    }
    // The id is that of the request, not that of the one before.
    let mut other = get(LIST, None, &[("x-request-id", "another")]);
    server.send(&other).await;
    other.headers.insert("x-request-id".into(), "yet-another".into());
    assert_eq!(server.send(&other).await.headers["x-request-id"], "yet-another");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_more_is_made_each_time() {
    let database = demo_database().await;
    let (store, endpoint) = Proxy::start(database.endpoint()).await;
    let server = Server::with(&endpoint, [("SHARED_CACHE_MS", "600000")], Router::new()).await;
    for (what, request) in [
        ("a caller", get(LIST, Some("user-123"), &[])),
        ("a record of one's own", get("/api/v2/users/me", Some("user-123"), &[])),
        ("a tag", get(LIST, None, &[("if-none-match", "\"x\"")])),
        ("a wish for a new one", get(LIST, None, &[("cache-control", "no-cache")])),
        ("an error", get("/api/v2/products/p-none", None, &[])),
        ("another method", Request { method: "HEAD".into(), ..get(LIST, None, &[]) }),
    ] {
        for _ in 0..2 {
            let answer = server.send(&request).await;
            assert!(!answer.headers.contains_key("age"), "{what}");
            assert!(!store.look().is_empty(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_kept() {
    let database = demo_database().await;
    let (store, endpoint) = Proxy::start(database.endpoint()).await;
    let server = Server::on(&endpoint).await;
    for _ in 0..2 {
        assert_eq!(server.get(LIST, None).await.status, 200);
        assert!(!store.look().is_empty());
    }
}
