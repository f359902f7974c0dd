//! The addresses of images in answers, where the images route asks for signatures.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use dev::bucket::Bucket;
use serde_json::Value;
use tests::{
    case::Request,
    server::{Server, demo_database},
};

const SECRET: (&str, &str) = ("IMAGES_SECRET", "a-secret-of-the-tests-for-signed-addresses");

/// Every answer with images in it, and who may see it.
const TARGETS: [(&str, Option<&str>); 8] = [
    ("/api/v1/products?limit=1", None),
    ("/api/v2/products?limit=1", None),
    ("/api/v1/products/p-0001", None),
    ("/api/v2/products/p-0001", None),
    ("/api/v2/products/delta?limit=1", None),
    ("/api/v1/users/user-7", Some("user-7")),
    ("/api/v2/users/me", Some("user-7")),
    ("/api/v2/home", Some("user-7")),
];

/// The addresses of images anywhere in an answer.
fn addresses(body: &Value) -> Vec<String> {
    match body {
        Value::String(text) if text.starts_with("/images/") => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(addresses).collect(),
        Value::Object(members) => members.values().flat_map(addresses).collect(),
        _ => Vec::new(),
    }
}

fn changed(address: &str) -> [String; 4] {
    let (plain, _) = address.split_once("expires=").expect("a signed address");
    [
        plain.trim_end_matches(['?', '&']).to_owned(),
        if address.contains("?w=") { address.replacen("?w=", "?w=1", 1) } else { address.replacen('?', "?w=64&", 1) },
        address.replacen("/images/", "/images/other/", 1),
        address.replacen("expires=", "expires=9", 1),
    ]
}

/// A server that signs.
async fn signing(database: &str, bucket: &str) -> Server {
    Server::with(database, [("AWS_ENDPOINT_URL_S3", bucket), SECRET], Router::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_an_answer_is_served_and_a_changed_one_is_refused() {
    let (database, bucket) = (demo_database().await, Bucket::on_any_port().await.unwrap());
    let server = signing(&database.endpoint(), &bucket.endpoint()).await;
    let mut all = BTreeSet::new();
    for (target, user) in TARGETS {
        let answer = server.get(target, user).await;
        let found = addresses(&answer.body);
        assert!(!found.is_empty(), "{target}: {answer:?}");
        all.extend(found);
    }
    for address in &all {
        let image = server.get(address, None).await;
        assert_eq!(image.status, 200, "{address}: {}", image.body);
        assert!(image.headers["content-type"].starts_with("image/"), "{address}");
    }
    for address in all.iter().flat_map(|address| changed(address)) {
        let refused = server.get(&address, None).await;
        assert_eq!((refused.status, &refused.body["code"]), (403, &"FORBIDDEN".into()), "{address}");
    }
}

/// Caches keep answers with signed addresses as they keep the others, but not across the day on which signing began.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_leaves_answers_cacheable() {
    let database = demo_database().await;
    let plain = Server::on(&database.endpoint()).await;
    let signing = signing(&database.endpoint(), "http://127.0.0.1:1").await;
    for target in ["/api/v2/products?limit=2", "/api/v1/products/p-0001"] {
        let first = signing.get(target, None).await;
        assert_eq!(first.body, signing.get(target, None).await.body, "{target}");
        let again = |tag: &str| Request {
            method: "GET".into(),
            target: target.into(),
            user: None,
            headers: BTreeMap::from([("if-none-match".to_owned(), tag.to_owned())]),
            body: None,
        };
        assert_eq!(signing.send(&again(&first.headers["etag"])).await.status, 304, "{target}");
        let unsigned = plain.get(target, None).await;
        assert_eq!(unsigned.headers["cache-control"], first.headers["cache-control"]);
        assert_eq!(signing.send(&again(&unsigned.headers["etag"])).await.status, 200, "{target}");
    }
}

/// Who keeps a copy of the catalogue has to get new addresses, although no product has changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_anew_where_its_addresses_change() {
    let database = demo_database().await;
    let plain = Server::on(&database.endpoint()).await;
    let signing = signing(&database.endpoint(), "http://127.0.0.1:1").await;
    let mut token = String::new();
    loop {
        let page = plain.get(&format!("/api/v2/products/delta?limit=500&since={token}"), None).await.body;
        token = page["syncToken"].as_str().unwrap().to_owned();
        if page["hasMore"] == false {
            break;
        }
    }
    let target = format!("/api/v2/products/delta?limit=1&since={token}");
    let same = plain.get(&target, None).await.body;
    assert_eq!((same["fullSync"].as_bool(), same["items"].as_array().map(Vec::len)), (Some(false), Some(0)), "{same}");
    let anew = signing.get(&target, None).await.body;
    assert_eq!((&anew["code"], &anew["details"]["reason"]), (&"SYNC_TOKEN_EXPIRED".into(), &"scopeChanged".into()));
}

/// During a rotation some instances know the new secret and others do not: a token of one is good for the other, in
/// both directions.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_outlives_a_rotation_of_the_secret() {
    let database = demo_database().await;
    let old = signing(&database.endpoint(), "http://127.0.0.1:1").await;
    let settings = [("IMAGES_SECRET", "another-secret-of-the-tests-for-signed-addresses")];
    let new = Server::with(&database.endpoint(), settings, Router::new()).await;
    let mut token = String::new();
    for server in [&old, &new, &old] {
        let page = server.get(&format!("/api/v2/products/delta?limit=2&since={token}"), None).await;
        assert_eq!((page.status, page.body["items"].as_array().map(Vec::len)), (200, Some(2)), "{page:?}");
        token = page.body["syncToken"].as_str().unwrap().to_owned();
    }
}
