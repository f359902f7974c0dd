//! Users and products of another service, whatever that service does: each failure ends in the right code within its
//! time, a service that fails too often is left alone, and old answers stand in.

mod service;

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use axum::Router;
use dev::{database::Database, demo};
use serde_json::json;
use tests::{
    case::{Request, Response},
    server::{Server, empty_database},
};
use tokio::net::TcpListener;

use self::service::{Manners, Misbehaving, answer, encrypted};

const ONE: &str = "/api/v2/products/p-0001";
const ME: &str = "/api/v2/users/me";

/// Time enough on a busy machine, and little enough to wait for.
const PATIENCE: [(&str, &str); 3] =
    [("BACKEND_TIMEOUT_MS", "1200"), ("BACKEND_ATTEMPT_TIMEOUT_MS", "400"), ("BACKEND_STALE_SECONDS", "600")];
/// What no answer may take longer than.
const END: Duration = Duration::from_secs(6);

async fn server<const N: usize>(database: &Database, url: &str, settings: [(&str, &str); N]) -> Server {
    let own = [("BACKEND_USERS_URL", url), ("BACKEND_PRODUCTS_URL", url)].into_iter().chain(PATIENCE);
    Server::with_all(&database.endpoint(), own.chain(settings), Router::new()).await
}

fn get(target: &str, user: Option<&str>, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { method: "GET".into(), target: target.into(), user: user.map(Into::into), headers, body: None }
}

fn check(name: &str, answer: &Response, status: u16, code: &str, retry_after: u64) {
    assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{name}: {answer:?}");
    assert_eq!(answer.body["retryable"], true, "{name}");
    assert_eq!(answer.body["retryAfter"], retry_after, "{name}: {answer:?}");
    assert_eq!(answer.headers["retry-after"], retry_after.to_string(), "{name}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
    assert!(!answer.headers.contains_key("cache-status"), "{name}: {answer:?}");
    let told = answer.body.to_string();
    assert!(!told.contains("127.0.0.1") && !told.contains("upstream"), "{name}: {told}");
}

/// Each way to fail, and how often it is tried.
#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_code_and_its_time() {
    let database = empty_database().await;
    let refused = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    for target in [ONE, "/api/v1/products?limit=2", ME] {
        let server = server(&database, &format!("http://{refused}"), []).await;
        let asked = Instant::now();
        check("refused", &server.get(target, Some("user-123")).await, 502, "BACKEND_ERROR", 30);
        assert!(asked.elapsed() < END, "{:?}", asked.elapsed());
    }

    let cases = [
        (Manners::Reset, 502, "BACKEND_ERROR", 30, 3),
        (Manners::ResetInBody, 502, "BACKEND_ERROR", 30, 3),
        (Manners::Silent, 504, "TIMEOUT", 5, 3),
        (Manners::Drip, 504, "TIMEOUT", 5, 3),
        (
            Manners::Says("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            502,
            "BACKEND_ERROR",
            30,
            3,
        ),
        (
            Manners::Says("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            503,
            "UNAVAILABLE",
            2,
            3,
        ),
        (
            Manners::Says("HTTP/1.1 429 Slowly\r\nretry-after: 17\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            503,
            "UNAVAILABLE",
            17,
            1,
        ),
        (
            Manners::Says("HTTP/1.1 503 Busy\r\nretry-after: 86400\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            503,
            "UNAVAILABLE",
            300,
            1,
        ),
        (Manners::Says("HTTP/1.1 400 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 500, "INTERNAL", 5, 1),
        (
            Manners::Says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{\"id\":\"p-"),
            502,
            "BACKEND_ERROR",
            30,
            1,
        ),
        (
            Manners::Says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]"),
            502,
            "BACKEND_ERROR",
            30,
            1,
        ),
        (Manners::Says("no HTTP at all, whatever else\r\n\r\n"), 502, "BACKEND_ERROR", 30, 3),
        (Manners::Huge { announced: true }, 502, "BACKEND_ERROR", 30, 1),
        (Manners::Huge { announced: false }, 502, "BACKEND_ERROR", 30, 1),
        (Manners::Redirect, 502, "BACKEND_ERROR", 30, 1),
    ];
    for (manners, status, code, retry_after, attempts) in cases {
        for target in [ONE, "/api/v1/products?limit=2", ME] {
            let service = Misbehaving::start(manners).await;
            let server = server(&database, &service.url(), []).await;
            let (name, asked) = (format!("{manners:?} {target}"), Instant::now());
            check(&name, &server.get(target, Some("user-123")).await, status, code, retry_after);
            assert!(asked.elapsed() < END, "{name}: {:?}", asked.elapsed());
            let sent = service.look().len();
            // A slow machine may leave no time for the last attempt.
            assert!(sent == attempts || (attempts == 3 && sent == 2), "{name}: {sent} attempts");
            assert!(service.sent.load(Ordering::SeqCst) < 50_000_000, "{name}: it was not read to the end");
        }
    }
}

/// A record of another user must never be shown, whatever the service thinks.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_record_is_refused() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let other = Box::leak(answer("200 OK", &json!(demo::user(7).unwrap()).to_string()).into_boxed_str());
    service.teach(Manners::Says(other));
    let server = server(&database, &service.url(), []).await;
    check("another", &server.get(ME, Some("user-123")).await, 502, "BACKEND_ERROR", 30);
}

/// Where the request has less time than the service may take, the request's own time counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_is_the_request_s_own() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Silent).await;
    let patient =
        [("BACKEND_TIMEOUT_MS", "60000"), ("BACKEND_ATTEMPT_TIMEOUT_MS", "60000"), ("REQUEST_TIMEOUT_MS", "500")];
    let server = server(&database, &service.url(), patient).await;
    let asked = Instant::now();
    check("deadline", &server.get(ONE, None).await, 504, "TIMEOUT", 5);
    assert!(asked.elapsed() < END, "{:?}", asked.elapsed());
}

/// The breaker opens, says when to come again, tries once, and closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_is_left_alone_until_it_is_back() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Reset).await;
    let server = server(&database, &service.url(), []).await;
    for _ in 0..5 {
        server.get(ONE, None).await;
    }
    let sent = service.look().len();
    assert!((5..15).contains(&sent), "{sent} attempts");
    // On a slow machine a trial may be due by now, which fails.
    let mut wait = 30;
    while wait == 30 {
        let left_alone = server.get(ONE, None).await;
        wait = left_alone.body["retryAfter"].as_u64().unwrap();
        check("left alone", &left_alone, 502, "BACKEND_ERROR", wait);
    }
    assert!((1..=9).contains(&wait), "{wait}");
    service.teach(Manners::Good);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(server.get(ONE, None).await.status, 200, "waiting as told is enough");
    for _ in 0..5 {
        assert_eq!(server.get(ONE, None).await.status, 200);
    }
}

/// The breaker of one service says nothing about another.
#[tokio::test(flavor = "multi_thread")]
async fn services_fail_apart() {
    let database = empty_database().await;
    let (bad, good) = (Misbehaving::start(Manners::Reset).await, Misbehaving::start(Manners::Good).await);
    let server = server(&database, &good.url(), [("BACKEND_USERS_URL", &bad.url())]).await;
    for _ in 0..5 {
        assert_eq!(server.get(ME, Some("user-123")).await.status, 502);
        assert_eq!(server.get(ONE, Some("user-123")).await.status, 200);
    }
    let home = server.get("/api/v2/home", Some("user-123")).await;
    assert_eq!((home.status, &home.body["complete"]), (200, &json!(false)));
    assert_eq!(home.body["errors"]["profile"]["code"], "BACKEND_ERROR");
    assert_eq!(home.body["featuredProducts"].as_array().map(Vec::len), Some(2), "{home:?}");
}

/// Old answers stand in, and say so; not for a price, and not beyond their time.
#[tokio::test(flavor = "multi_thread")]
async fn old_answers_stand_in_while_the_service_is_down() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let server = server(&database, &service.url(), []).await;
    let me = Some("user-123");
    let list = "/api/v2/products?limit=2";
    let targets = [ONE, "/api/v1/products/p-0001", list, ME, "/api/v1/users/user-123", "/api/v2/home"];
    let mut fresh = BTreeMap::new();
    for target in targets {
        let answer = server.get(target, me).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.headers.contains_key("age") && !answer.headers.contains_key("cache-status"), "{answer:?}");
        fresh.insert(target, answer);
    }
    service.teach(Manners::Says("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let first = server.get(ONE, me).await;
    let status = &first.headers["cache-status"];
    assert!(status.starts_with("mobile-bff; fwd=stale; fwd-status=500; ttl=-"), "{status}");
    assert!(status.ends_with("; detail=status"), "{status}");
    for target in targets {
        // By and by the service is left alone.
        let answer = server.get(target, me).await;
        assert_eq!((answer.status, &answer.body), (200, &fresh[target].body), "{target}");
        assert_eq!(answer.headers.get("etag"), fresh[target].headers.get("etag"), "{target}");
        let age: u64 = answer.headers["age"].parse().unwrap();
        assert!((1..60).contains(&age), "{target}: {age}");
        assert!(answer.headers["cache-status"].contains(&format!("; ttl=-{age}; ")), "{answer:?}");
        assert!(!answer.headers.contains_key("warning"), "RFC 9111 has done away with it");
    }
    loop {
        service.look();
        let left_alone = server.get(ONE, me).await;
        let status = &left_alone.headers["cache-status"];
        if status.starts_with("mobile-bff; hit; ttl=-") {
            assert!(status.ends_with("; detail=breaker"), "{status}");
            assert_eq!(service.look(), Vec::<String>::new());
            break;
        }
        assert!(status.ends_with("; detail=status"), "a trial that was due: {status}");
    }

    let mut order = get("/api/v2/orders", me, &[]);
    order.method = "POST".into();
    order.body = Some(json!({ "items": [{ "productId": "p-0001", "quantity": 1 }] }));
    let priced = server.send(&order).await;
    assert_eq!((priced.status, &priced.body["code"]), (502, &json!("BACKEND_ERROR")), "an old price is no price");
    let mut edit = get(ME, me, &[]);
    edit.method = "PATCH".into();
    edit.body = Some(json!({ "version": 1, "firstName": "Jo" }));
    let edited = server.send(&edit).await;
    assert_eq!((edited.status, &edited.body["code"]), (502, &json!("BACKEND_ERROR")), "an old record is not edited");
    // What was never asked for has no old answer.
    assert_eq!(server.get("/api/v2/products?limit=3", None).await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_old_stands_in_for_nothing() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let server = server(&database, &service.url(), [("BACKEND_STALE_SECONDS", "0")]).await;
    assert_eq!(server.get(ONE, None).await.status, 200);
    service.teach(Manners::Reset);
    check("nothing kept", &server.get(ONE, None).await, 502, "BACKEND_ERROR", 30);
}

/// One failure of a read is not seen by the phone. Nobody knows what became of a write, so it is sent once.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_tried_again_and_a_write_is_not() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Stumbles).await;
    let server = server(&database, &service.url(), []).await;
    assert_eq!(server.get(ONE, None).await.status, 200);
    assert_eq!(service.look().len(), 2);

    service.teach(Manners::NoWrites);
    let mut edit = get(ME, Some("user-123"), &[]);
    edit.method = "PATCH".into();
    edit.body = Some(json!({ "version": 1, "firstName": "Jo" }));
    check("write", &server.send(&edit).await, 502, "BACKEND_ERROR", 30);
    let requests = service.look();
    let [read, write] = &requests[..] else { panic!("{requests:?}") };
    assert!(read.starts_with("get /users/user-123 ") && write.starts_with("patch /users/user-123 "), "{requests:?}");
    assert!(write.contains("if-match: \"1\"\r\n"), "{write}");
    assert!(write.contains("content-type: application/merge-patch+json\r\n"), "{write}");
}

/// What goes along: the request's id and trace, and nothing else of the caller's.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_s_id_and_trace_go_along_and_its_token_does_not() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let server = server(&database, &format!("{}/", service.url()), []).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers =
        [("x-request-id", "phone-41"), ("traceparent", trace), ("tracestate", "vendor=value"), ("cookie", "a=b")];
    assert_eq!(server.send(&get(ME, Some("user-123"), &headers)).await.status, 200);
    let requests = service.look();
    let [head] = &requests[..] else { panic!("{requests:?}") };
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", service.address);
    let expected = [
        "get /users/user-123 http/1.1",
        "accept: application/json",
        &host,
        &format!("traceparent: {trace}"),
        "tracestate: vendor=value",
        &format!("user-agent: mobile-bff/{}", env!("CARGO_PKG_VERSION")),
        "x-request-id: phone-41",
    ];
    assert_eq!(lines, expected);
}

/// With spans, the service's own is the parent of what it asks others.
#[tokio::test(flavor = "multi_thread")]
async fn a_span_of_ours_is_the_parent() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let server = server(&database, &service.url(), [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]).await;
    let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (given, kept) in [(theirs, false), (&theirs.replace("-01", "-00"), true)] {
        server.send(&get(ONE, None, &[("traceparent", given)])).await;
        let requests = service.look();
        let onward = requests[0].lines().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
        assert_eq!((&onward[..36], onward == given), (&given[..36], kept), "{onward}");
    }
}

/// What a client writes stays in its place of the address.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_writes_changes_the_way() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let server = server(&database, &service.url(), []).await;
    for bad in [
        "/api/v2/products/..%2f..%2fadmin",
        "/api/v2/products/a..b",
        "/api/v2/products/a%00b",
        "/api/v2/products/a%3fb",
    ] {
        assert_eq!(server.get(bad, None).await.body["code"], "VALIDATION_ERROR", "{bad}");
    }
    assert_eq!(service.look(), Vec::<String>::new());
    let lure = "a&limit=1000#x%2f../admin?y=%0d%0ahost:z";
    let encoded = "a%26limit%3D1000%23x%252f..%2Fadmin%3Fy%3D%250d%250ahost%3Az";
    assert_eq!(server.get(&format!("/api/v2/products?limit=2&category={encoded}"), None).await.status, 200);
    let requests = service.look();
    let target = requests[0].split(' ').nth(1).unwrap();
    let url = reqwest::Url::parse(&format!("http://x{target}")).unwrap();
    assert_eq!(url.path(), "/products");
    let pairs: Vec<(String, String)> = url.query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
    assert_eq!(pairs, [("limit".into(), "2".into()), ("category".into(), lure.to_owned())]);
}

/// What a catalogue of another service has no account of.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_of_another_service_has_no_deltas() {
    let database = empty_database().await;
    let service = Misbehaving::start(Manners::Good).await;
    let server = server(&database, &service.url(), []).await;
    let answer = server.get("/api/v2/products/delta", None).await;
    assert_eq!((answer.status, &answer.body["code"]), (404, &json!("NOT_FOUND")));
    assert_eq!(
        answer.body["message"],
        "This catalogue has no deltas: it comes from another service. Read it in pages."
    );
    assert_eq!(service.look(), Vec::<String>::new());
}

/// A service with a certificate of the house: its root is trusted, and no other service is on its account.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_root_is_trusted_when_it_is_named() {
    let database = empty_database().await;
    let url = encrypted().await;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/keys/private-root.pem");
    let trusting = server(&database, &url, [("BACKEND_CA_BUNDLE", root)]).await;
    assert_eq!(trusting.get(ONE, None).await.status, 200);
    // Any other root; a machine may have no system roots at all.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/src/backend/amazon-roots.pem");
    let mistrusting = server(&database, &url, [("BACKEND_CA_BUNDLE", other)]).await;
    check("another root", &mistrusting.get(ONE, None).await, 502, "BACKEND_ERROR", 30);
}
