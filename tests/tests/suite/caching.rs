//! Caches on the way to a phone, judged by an implementation of RFC 9111 that is not ours.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};
use serde_json::{Value, json};
use tests::{
    case::{Request, Response},
    server::{Server, demo_database},
};

use crate::proxy::{Passed, Proxy};

fn request(method: &str, target: &str, user: Option<&str>, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { method: method.into(), target: target.into(), user: user.map(Into::into), headers, body: None }
}

fn header_map(headers: impl IntoIterator<Item = (String, String)>) -> HeaderMap {
    let parsed =
        |(name, value): (String, String)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(&value).unwrap());
    headers.into_iter().map(parsed).collect()
}

/// The request as a cache sees it.
fn seen(request: &Request) -> http::Request<()> {
    let uri = format!("https://bff.example.com{}", request.target);
    let mut seen = http::Request::builder().method(request.method.as_str()).uri(uri).body(()).unwrap();
    *seen.headers_mut() = header_map(request.wire_headers());
    seen
}

fn answered(response: &Response) -> http::Response<()> {
    let mut answered = http::Response::builder().status(response.status).body(()).unwrap();
    *answered.headers_mut() = header_map(response.headers.clone());
    answered
}

fn options(shared: bool) -> CacheOptions {
    CacheOptions { shared, ..CacheOptions::default() }
}

fn policy(request: &Request, response: &Response, shared: bool) -> CachePolicy {
    CachePolicy::new_options(&seen(request), &answered(response), SystemTime::now(), options(shared))
}

const PUBLIC: [&str; 4] =
    ["/api/v1/products?limit=3", "/api/v2/products?limit=3", "/api/v1/products/p-0001", "/api/v2/products/p-0001"];
const OWN: [&str; 6] = [
    "/api/v1/users/user-123",
    "/api/v2/users/me",
    "/api/v1/orders",
    "/api/v2/orders?limit=2",
    "/api/v2/orders/o-123-01",
    "/api/v2/home",
];
const NEVER: [&str; 6] = [
    "/api/v2/products/delta",
    "/api/v2/orders/delta",
    "/api/v2/nothing",
    "/api/v2/products/p-9999",
    "/api/v2/products?limit=0",
    "/health",
];

/// Whoever asks for whatever in whatever way: nothing that came with a token enters a shared cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_cache_keeps_public_products_and_nothing_else() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    for target in PUBLIC.into_iter().chain(OWN).chain(NEVER) {
        for user in [None, Some("user-123")] {
            for method in ["GET", "HEAD"] {
                for coding in ["br", "identity"] {
                    let request = request(method, target, user, &[("accept-encoding", coding)]);
                    let response = server.send(&request).await;
                    let storable = policy(&request, &response, true).is_storable();
                    let expected = user.is_none() && PUBLIC.contains(&target);
                    assert_eq!(storable, expected, "{method} {target} {user:?}: {response:?}");
                    let private = policy(&request, &response, false).is_storable();
                    let kept = PUBLIC.contains(&target) || (user.is_some() && OWN.contains(&target));
                    assert_eq!(private, kept, "{method} {target} {user:?}: {response:?}");
                }
            }
        }
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let target = if method == "POST" { "/api/v2/orders" } else { "/api/v2/orders/o-123-01" };
        let mut write = request(method, target, Some("user-123"), &[]);
        write.body = Some(json!({ "version": 1, "note": "x" }));
        let response = server.send(&write).await;
        assert_eq!(response.headers["cache-control"], "no-store", "{method}: {response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn public_products_stay_fresh_for_as_long_as_they_say() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let later = |seconds| SystemTime::now() + Duration::from_secs(seconds);
    for target in PUBLIC {
        let anonymous = request("GET", target, None, &[]);
        let response = server.send(&anonymous).await;
        assert!(!response.headers["vary"].to_lowercase().contains("authorization"), "{target}");
        for (shared, seconds) in [(true, 300), (false, 60)] {
            let policy = policy(&anonymous, &response, shared);
            assert!(matches!(policy.before_request(&seen(&anonymous), later(seconds - 5)), BeforeRequest::Fresh(_)));
            assert!(matches!(
                policy.before_request(&seen(&anonymous), later(seconds + 5)),
                BeforeRequest::Stale { .. }
            ));
        }
        // A caller is served from the shared cache too: a token changes nothing about a product.
        let caller = request("GET", target, Some("user-123"), &[]);
        let stored = policy(&anonymous, &response, true);
        assert!(matches!(stored.before_request(&seen(&caller), later(1)), BeforeRequest::Fresh(_)), "{target}");
        // One coding is not served for another.
        let coded = request("GET", target, None, &[("accept-encoding", "br")]);
        assert!(matches!(stored.before_request(&seen(&coded), later(1)), BeforeRequest::Stale { .. }), "{target}");
    }
}

/// A stored answer, once stale, is made fresh by a 304, in each coding; a caller's own one is asked for each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_freshens_what_is_stored() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let later = SystemTime::now() + Duration::from_secs(400);
    for (targets, user, shared) in [(&PUBLIC[..], None, true), (&OWN[..], Some("user-123"), false)] {
        for (target, coding) in
            targets.iter().flat_map(|target| ["br", "zstd", "gzip", "identity"].map(|c| (target, c)))
        {
            let first = request("GET", target, user, &[("accept-encoding", coding)]);
            let response = server.send(&first).await;
            let stored = policy(&first, &response, shared);
            let BeforeRequest::Stale { request: parts, matches: true } = stored.before_request(&seen(&first), later)
            else {
                panic!("{target} {coding}: still fresh, or another variant");
            };
            let tag = parts.headers["if-none-match"].to_str().unwrap().to_owned();
            let again = request("GET", target, user, &[("accept-encoding", coding), ("if-none-match", &tag)]);
            let unmodified = server.send(&again).await;
            assert_eq!((unmodified.status, &unmodified.body), (304, &Value::Null), "{target} {coding} {tag}");
            for name in ["cache-control", "etag", "vary"] {
                assert_eq!(unmodified.headers[name], response.headers[name], "{target} {coding}: {name}");
            }
            for name in ["content-type", "content-encoding"] {
                assert!(!unmodified.headers.contains_key(name), "{target}: {name}");
            }
            let after = stored.after_response(&seen(&again), &answered(&unmodified), later);
            assert!(matches!(after, AfterResponse::NotModified(..)), "{target} {coding}: {unmodified:?}");
            let head = Request { method: "HEAD".into(), ..again };
            // Each request counts.
            let (mut head, mut unmodified) = (server.send(&head).await, unmodified);
            assert_eq!(head.headers.remove("ratelimit").is_some(), unmodified.headers.remove("ratelimit").is_some());
            assert_eq!(head, unmodified, "{target}");
        }
    }
}

/// CloudFront compresses what comes to it uncompressed, makes its tag a weak one, and asks again with that.
#[tokio::test(flavor = "multi_thread")]
async fn a_weakened_tag_still_revalidates_and_never_writes() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    for target in PUBLIC {
        let strong = server.get(target, None).await.headers["etag"].clone();
        let weak = format!("W/{strong}");
        let stored = request("GET", target, None, &[("accept-encoding", "gzip")]);
        let mut response = server.get(target, None).await;
        response.headers.insert("etag".into(), weak.clone());
        let asked = request("GET", target, None, &[("accept-encoding", "gzip"), ("if-none-match", &weak)]);
        let unmodified = server.send(&asked).await;
        assert_eq!((unmodified.status, &unmodified.headers["etag"]), (304, &weak), "{target}");
        let later = SystemTime::now() + Duration::from_secs(400);
        let after = policy(&stored, &response, true).after_response(&seen(&asked), &answered(&unmodified), later);
        assert!(matches!(after, AfterResponse::NotModified(..)), "{target}");
    }
    let own = "/api/v2/orders/o-123-24";
    let strong = server.get(own, Some("user-123")).await.headers["etag"].clone();
    let mut write = request("PATCH", own, Some("user-123"), &[("if-match", &format!("W/{strong}"))]);
    write.body = Some(json!({ "note": "weak" }));
    assert_eq!(server.send(&write).await.status, 412, "a weak tag may stand for something else");
    write.headers = BTreeMap::from([("if-match".to_owned(), strong.clone())]);
    assert_eq!(server.send(&write).await.status, 200, "{strong}: a tag is good for a write as it came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_changes_with_what_it_stands_for() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let tag = async |target: &str, coding: &str| {
        server.send(&request("GET", target, None, &[("accept-encoding", coding)])).await.headers["etag"].clone()
    };
    let list = "/api/v2/products?limit=20";
    let mut tags = vec![
        tag(list, "identity").await,
        tag(list, "br").await,
        tag(list, "zstd").await,
        tag(list, "gzip").await,
        tag("/api/v2/products?limit=21", "identity").await,
        tag("/api/v1/products?limit=20", "identity").await,
        tag("/api/v2/products?limit=20&level=full", "identity").await,
        tag("/api/v2/products?limit=20&category=audio", "identity").await,
    ];
    assert_eq!(
        tag("/api/v2/products?limit=20&fields=name,id", "br").await,
        tag("/api/v2/products?fields=id,name&limit=20", "br").await
    );
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 8, "{tags:?}");
    let foreign = request("GET", list, None, &[("accept-encoding", "gzip"), ("if-none-match", &tag(list, "br").await)]);
    assert_eq!(server.send(&foreign).await.status, 200, "the client could not read what it has");
    let failed = server.send(&request("GET", list, None, &[("if-match", "\"other\"")])).await;
    assert_eq!((failed.status, &failed.body["code"]), (412, &json!("PRECONDITION_FAILED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_on_the_catalogue_reads_one_small_item() {
    let database = demo_database().await;
    let (proxy, endpoint) = Proxy::start(database.endpoint()).await;
    let server = Server::on(&endpoint).await;
    let reads = || proxy.look().into_iter().filter(|passed| passed.table == "bff-products").collect::<Vec<_>>();
    for target in
        ["/api/v2/products?limit=100&level=full", "/api/v1/products?category=audio", "/api/v2/products/p-0001"]
    {
        let first = server.send(&request("GET", target, None, &[("accept-encoding", "br")])).await;
        let whole: usize = reads().iter().map(|read| read.bytes).sum();
        let again = [("accept-encoding", "br"), ("if-none-match", first.headers["etag"].as_str())];
        assert_eq!(server.send(&request("GET", target, None, &again)).await.status, 304);
        let reads = reads();
        let small = |read: &Passed| read.operation == "GetItem" && read.bytes < 2048 && read.bytes <= whole;
        assert!(reads.len() == 1 && small(&reads[0]), "{target}: {reads:?} of {whole}");
    }
}
