//! The route on a bucket that does everything that a bucket may do.

#![allow(clippy::expect_used)]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use photos::Photo;
use tests::{
    case,
    server::{Server, serve},
};
use thumbnails_core::{Cancel, Request, Rules, SigningKey, render};

/// Nothing of the route needs the database.
const NO_DATABASE: &str = "http://127.0.0.1:1";
const PHOTO: &str = "photo.jpg";

fn photo() -> Vec<u8> {
    Photo::of("tests").jpeg(640, 480)
}

/// What the bucket has been asked for.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicUsize>);

async fn bucket() -> (String, Seen) {
    let seen = Seen::default();
    let counted = seen.clone();
    let object = move |path, headers| {
        counted.0.fetch_add(1, Ordering::Relaxed);
        object(path, headers)
    };
    let routes = Router::new().route("/bff-images/{*key}", get(object));
    (serve(routes).await, seen)
}

/// S3's answer to those whom it does not let in.
fn denied(code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>No</Message></Error>");
    (StatusCode::FORBIDDEN, body).into_response()
}

async fn object(Path(key): Path<String>, headers: HeaderMap) -> Response {
    let signed = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(signed("authorization").contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date"), "{headers:?}");
    let own = [("set-cookie", "session=1"), ("x-amz-meta-secret", "s"), ("content-type", "text/html")];
    let endless = || {
        let chunk = Bytes::from(vec![0xFF; 1 << 20]);
        Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone())))
    };
    match key.as_str() {
        PHOTO => (own, photo()).into_response(),
        "page.jpg" => (own, "<!doctype html><script>alert(1)</script>").into_response(),
        "vector.jpg" => "<svg xmlns='http://www.w3.org/2000/svg'/>".into_response(),
        "cut.jpg" => photo()[..200].to_vec().into_response(),
        "endless.jpg" => endless().into_response(),
        "boastful.jpg" => ([("content-length", "99999999999")], endless()).into_response(),
        "elsewhere.jpg" => Redirect::temporary("http://169.254.169.254/latest/meta-data").into_response(),
        "slow.jpg" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            photo().into_response()
        }
        // A byte now and then: nothing that is silent, and nothing that ends.
        "trickle.jpg" => Body::from_stream(stream::unfold(0, |at| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, Infallible>(photo()[at..=at].to_vec()), at + 1))
        }))
        .into_response(),
        "down.jpg" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "forbidden.jpg" => denied("AccessDenied"),
        "expired.jpg" => denied("ExpiredToken"),
        "nameless.jpg" => StatusCode::FORBIDDEN.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn server(bucket: String) -> Server {
    Server::with(NO_DATABASE, [("AWS_ENDPOINT_URL_S3", &bucket)], Router::new()).await
}

async fn ask(server: &Server, target: &str) -> case::Response {
    server.get(target, None).await
}

/// The same request, made by the core alone.
fn by_core(query: &str) -> String {
    let request = Request::parse(PHOTO, query, None, Rules::default(), 0).expect("valid");
    case::binary(&render(&photo(), &request.transform, &Cancel::never()).expect("a thumbnail").bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_are_those_of_the_core_and_no_header_of_the_bucket_passes() {
    let server = server(bucket().await.0).await;
    for query in ["w=300&h=300&format=webp", "w=64&format=jpeg&q=50"] {
        let answer = ask(&server, &format!("/images/{PHOTO}?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, by_core(query), "{query}");
        assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(answer.headers["content-type"].starts_with("image/"));
        for own in ["set-cookie", "x-amz-meta-secret"] {
            assert!(!answer.headers.contains_key(own), "{own}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_bucket_does_the_answer_is_in_the_model() {
    let (address, seen) = bucket().await;
    let server = server(address).await;
    let rows = [
        ("nothing.jpg", 404, "NOT_FOUND"),
        ("forbidden.jpg", 404, "NOT_FOUND"),
        ("expired.jpg", 502, "BACKEND_ERROR"),
        ("nameless.jpg", 502, "BACKEND_ERROR"),
        ("page.jpg", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("vector.jpg", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("cut.jpg", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("endless.jpg", 413, "PAYLOAD_TOO_LARGE"),
        ("boastful.jpg", 413, "PAYLOAD_TOO_LARGE"),
        ("elsewhere.jpg", 502, "BACKEND_ERROR"),
        ("down.jpg", 502, "BACKEND_ERROR"),
        ("slow.jpg", 504, "TIMEOUT"),
        ("trickle.jpg", 504, "TIMEOUT"),
    ];
    for (key, status, code) in rows {
        let start = Instant::now();
        let answer = ask(&server, &format!("/images/{key}?w=300")).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{key}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{key}");
        assert!(start.elapsed() < Duration::from_secs(7), "{key}");
    }
    assert_eq!(seen.0.load(Ordering::Relaxed), rows.len(), "no redirect was followed, and nothing asked for twice");
    for target in ["/images/a%2f..%2fb.jpg?w=300", "/images/photo.jpg?w=0", "/images/a@b/c.jpg"] {
        assert_eq!(ask(&server, target).await.body["code"], "VALIDATION_ERROR", "{target}");
    }
    assert_eq!(seen.0.load(Ordering::Relaxed), rows.len(), "what is not valid never reaches the bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_signed_where_that_is_asked_for() {
    let secret = "a-secret-of-the-tests-for-signed-addresses";
    let endpoint = bucket().await.0;
    let settings = [("AWS_ENDPOINT_URL_S3", endpoint.as_str()), ("IMAGES_SECRET", secret)];
    let server = Server::with(NO_DATABASE, settings, Router::new()).await;
    let key = SigningKey::new(secret.as_bytes()).expect("long enough");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let signed = |end| {
        let plain = Request::parse(PHOTO, "w=64&format=webp", None, Rules::default(), now).expect("valid");
        format!("/images/{PHOTO}?{}", plain.signed(&key, end).query())
    };
    let answer = ask(&server, &signed(now + 1000)).await;
    assert_eq!((answer.status, &answer.body), (200, &by_core("w=64&format=webp").into()), "{answer:?}");
    let lifetime = answer.headers["cache-control"].strip_prefix("public, max-age=").expect("an age");
    let lifetime: u64 = lifetime.strip_suffix(", immutable").expect("immutable").parse().expect("seconds");
    assert!((990..=1000).contains(&lifetime), "no longer than the signature: {lifetime}");
    let wrong = [signed(now - 1), signed(now + 1000).replace("w=64", "w=80"), format!("/images/{PHOTO}?w=64")];
    for target in wrong {
        let answer = ask(&server, &target).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("FORBIDDEN")), "{target}");
    }
}

/// A flood of sizes that no cache has: some are made, the others are told to come back, and nothing else happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sizes_at_once_are_bounded() {
    let server = Arc::new(server(bucket().await.0).await);
    let requests: Vec<_> = (1..=1000)
        .map(|height| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { ask(&server, &format!("/images/{PHOTO}?w=320&h={height}&format=webp")).await })
        })
        .collect();
    let (mut made, mut told) = (0, 0);
    for request in requests {
        let answer = request.await.expect("no panic");
        match answer.status {
            200 => made += 1,
            429 => {
                assert_eq!((&answer.body["code"], &answer.body["retryAfter"]), (&"RATE_LIMITED".into(), &1.into()));
                assert_eq!(answer.headers["retry-after"], "1");
                told += 1;
            }
            // The last ones of a long queue on a slow machine.
            504 => assert_eq!(answer.body["code"], "TIMEOUT"),
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert!(made > 0 && told > 0, "made {made}, told {told}");
    assert_eq!(ask(&server, &format!("/images/{PHOTO}?w=64&format=webp")).await.status, 200, "and it goes on");
}
