//! Forms of HTTP/1 that few clients use, each with the answer that it gets.

use tests::server::demo_database;

use crate::{container, overload::PRODUCT, wire::Wire};

/// What is sent, and the statuses of all that comes back; 0 is the end of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn every_form_has_its_answer() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let order = r#"{"items":[{"productId":"p-0001","quantity":2}]}"#;
    let length = order.len();
    let post = "POST /api/v2/orders HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
    let health = "GET /health HTTP/1.1\r\nhost: test\r\n\r\n";
    let upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    let both = "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let cases: [(&str, String, &[u16]); 13] = [
        ("pipelined", format!("{health}GET {PRODUCT} HTTP/1.1\r\nhost: test\r\n\r\n{health}"), &[200, 200, 200]),
        ("empty lines between", format!("{health}\r\n{health}"), &[200, 200]),
        (
            "a body that is expected",
            format!(
                "{post}authorization: Bearer {token}\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n{order}"
            ),
            &[100, 201],
        ),
        ("a body that is not", format!("{post}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"), &[401, 0]),
        ("an upgrade to HTTP/2", format!("GET /health HTTP/1.1\r\nhost: test\r\n{upgrade}\r\n{health}"), &[200, 200]),
        ("a tunnel", "CONNECT test:443 HTTP/1.1\r\nhost: test:443\r\n\r\n".into(), &[404]),
        ("the server itself", format!("OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n{health}"), &[404, 200]),
        ("a whole address", format!("GET http://other/health HTTP/1.1\r\nhost: test\r\n\r\n{health}"), &[200, 200]),
        ("two lengths", format!("GET /health HTTP/1.1\r\nhost: test\r\n{both}{health}"), &[200, 0]),
        (
            "two different lengths",
            "GET /health HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".into(),
            &[400, 0],
        ),
        ("version 1.0", "GET /health HTTP/1.0\r\n\r\n".into(), &[200, 0]),
        (
            "version 1.0 that goes on",
            format!("GET /health HTTP/1.0\r\nconnection: keep-alive\r\n\r\n{health}"),
            &[200, 200],
        ),
        ("no host", "GET /health HTTP/1.1\r\n\r\n".into(), &[200]),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, expected) in cases {
        let mut wire = Wire::open(container.address).await;
        wire.write(bytes).await.unwrap();
        let mut statuses = Vec::new();
        for _ in expected {
            statuses.push(wire.try_read().await.map_or(0, |answer| answer.status));
        }
        if statuses != expected {
            wrong.push((name, statuses));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(Wire::open(container.address).await.get("/health").await.status, 200);
}

/// The answer is made once for all, and still names the request that it answers.
#[tokio::test(flavor = "multi_thread")]
async fn each_answer_of_health_has_an_id_of_its_own() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut wire = Wire::open(container.address).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = wire.get("/health").await;
        assert_eq!((answer.status, answer.headers["content-length"].as_str()), (200, "15"));
        assert_eq!(answer.json(), serde_json::json!({ "status": "ok" }));
        ids.push(answer.headers["x-request-id"].clone());
    }
    assert!(ids.iter().all(|id| id.len() == 36) && ids[0] != ids[1], "{ids:?}");
}
