//! Whatever arrives, the process lives on and the next request is served.

use std::time::Duration;

use axum::{Router, body::Body};
use http::Request;
use shared::http::context::ResponseLimit;
use tests::server::{Server, demo_database};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tower::ServiceExt;

/// Sends bytes, closes the sending half, and reads what comes back.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_ends_the_process() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let head = format!("POST /api/v2/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    let json = "content-type: application/json\r\n";
    let deep = "[".repeat(60_000);
    let nasty: Vec<Vec<u8>> = vec![
        b"\x00\x01\x02\x03".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /api/v2/users/%FF%FE HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /api/v2/users/../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /api/v2/products?limit=%zz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /api/v2/products?category=\xff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        format!("{head}{json}content-length: -1\r\n\r\n").into_bytes(),
        format!("{head}{json}content-length: 10\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        format!("{head}{json}transfer-encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
        format!("{head}{json}content-length: {}\r\n\r\n{deep}", deep.len()).into_bytes(),
        format!("{head}{json}content-length: 4\r\n\r\n\u{0}\u{0}\u{0}\u{0}").into_bytes(),
        format!("{head}{json}if-match: \u{7f}\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes(),
    ];
    for bytes in nasty {
        exchange(&server, &bytes).await;
        assert_eq!(server.get("/health", None).await.status, 200, "{}", String::from_utf8_lossy(&bytes));
    }
}

/// An answer that the front door would turn into a 502 of its own is an error of the model.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_never_larger_than_the_front_door_takes() {
    let database = demo_database().await;
    let app = dev::app::on(&database.endpoint()).unwrap();
    let long = || async { "x".repeat(100_000) };
    let service = app.service(Router::new().route("/long", axum::routing::get(long)));
    for (limit, status) in [(None, 200), (Some(100_000), 200), (Some(99_999), 500)] {
        let mut request = Request::get("/long").body(Body::empty()).unwrap();
        if let Some(limit) = limit {
            request.extensions_mut().insert(ResponseLimit(limit));
        }
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{limit:?}");
        if status == 500 {
            let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"], "INTERNAL");
        }
    }
}

/// A phone that goes into a tunnel in the middle of its body: nothing is done, and the answer says what was wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_body_changes_nothing() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let token = dev::token::issue(&"tunnel".parse().unwrap(), None);
    let body = r#"{"items":[{"productId":"p-0001","quantity":1}]}"#;
    for cut in [0, 1, body.len() / 2, body.len() - 1] {
        let request = format!(
            "POST /api/v2/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            body.len(),
            &body[..cut]
        );
        let answer = exchange(&server, request.as_bytes()).await;
        // Where the connection still carries an answer, it is in the model.
        assert!(answer.is_empty() || answer.contains("VALIDATION_ERROR"), "{cut}: {answer}");
    }
    let orders = server.get("/api/v2/orders", Some("tunnel")).await;
    assert_eq!(orders.body["items"], serde_json::json!([]));
}
