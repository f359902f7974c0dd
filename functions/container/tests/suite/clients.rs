//! Clients that misbehave, each with the answer that it gets. Others are served all the while.

use std::time::Duration;

use tests::server::demo_database;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    container, metrics,
    wire::{PATIENCE, Wire},
};

const PRODUCT: &str = "/api/v2/products/p-0001";

/// Slowloris: a head that never ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_told_so() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("HEADER_TIMEOUT_MS", "500")]).await;
    let mut slow = Wire::open(container.address).await;
    slow.write(format!("GET {PRODUCT} HTTP/1.1\r\nhost: test\r\n")).await.unwrap();
    let mut other = Wire::open(container.address).await;
    for _ in 0..20 {
        sleep(Duration::from_millis(50)).await;
        // Each piece is too little, too late. At some point there is nobody to take it.
        let _ = slow.write("x-slow: 1\r\n").await;
        assert_eq!(other.get("/health").await.status, 200);
    }
    let answer = slow.read().await;
    answer.is_error(408, "REQUEST_TIMEOUT");
    assert!(answer.closes());
    slow.ends().await;
    // An idle connection has more time than a slow head.
    assert_eq!(other.get(PRODUCT).await.status, 200);
}

/// Whatever came before it on the connection, and whatever it is taken for.
#[tokio::test(flavor = "multi_thread")]
async fn every_slow_head_is_told_so() {
    let database = demo_database().await;
    let settings = [("HEADER_TIMEOUT_MS", "500"), ("IDLE_TIMEOUT_MS", "5000")];
    let container = container(&database.endpoint(), settings).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let mut after_chunks = Wire::open(container.address).await;
    let head = format!("PATCH /api/v2/users/me HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n");
    let body =
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n";
    after_chunks.write(format!("{head}if-match: \"x\"\r\n{body}")).await.unwrap();
    let answer = after_chunks.read().await;
    assert!(!answer.closes(), "the body was read to its end: {answer:?}");
    let like_http2 = Wire::open(container.address).await;
    for (mut slow, start) in [(after_chunks, "GET /health HTTP/1.1\r\n"), (like_http2, "PRIX /health HTTP/1.1\r\n")] {
        println!("{start:?}");
        slow.write(start).await.unwrap();
        slow.read().await.is_error(408, "REQUEST_TIMEOUT");
        slow.ends().await;
    }
}

/// Requests of every form, with bodies that were read.
fn requests() -> [String; 4] {
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let head = format!("PATCH /api/v2/users/me HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n");
    let head = format!("{head}if-match: \"x\"\r\ncontent-type: application/json\r\n");
    [
        format!("GET {PRODUCT} HTTP/1.1\r\nhost: test\r\n\r\n"),
        format!("{head}content-length: 7\r\n\r\n{{\"a\":1}}"),
        format!("{head}content-length: 12\r\n\r\n{{\"a\":\r\n\r\n1}}\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n6\r\n{{\"a\":\n\r\n4\r\n\n\n1}}\r\n0\r\n\r\n"),
    ]
}

/// What came with the request before it has begun when that was answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_behind_a_request_is_told_so() {
    let database = demo_database().await;
    let settings = [("HEADER_TIMEOUT_MS", "500"), ("IDLE_TIMEOUT_MS", "5000")];
    let container = container(&database.endpoint(), settings).await;
    for request in requests() {
        let whole = format!("{request}G");
        let (head, body) = whole.split_at(whole.find("\r\n\r\n").unwrap() + 4);
        // At once, in two segments, and with the body in two.
        let half = head.len() + body.len() / 2;
        for cut in [0, head.len(), half, whole.len() - 1] {
            println!("{cut} of {whole}");
            let mut slow = Wire::open(container.address).await;
            slow.write(&whole[..cut]).await.unwrap();
            sleep(Duration::from_millis(if cut > 0 { 50 } else { 0 })).await;
            slow.write(&whole[cut..]).await.unwrap();
            let first = slow.read().await;
            assert!(first.status != 408 && !first.closes(), "{first:?}");
            slow.read().await.is_error(408, "REQUEST_TIMEOUT");
            slow.ends().await;
        }
        // Without one, the connection only rests.
        let mut idle = Wire::open(container.address).await;
        idle.write(request).await.unwrap();
        let first = idle.read().await;
        assert!(first.status != 408 && !first.closes(), "{first:?}");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(idle.get("/health").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut alone = Vec::new();
    for request in requests() {
        let mut wire = Wire::open(container.address).await;
        wire.write(request).await.unwrap();
        alone.push(wire.read().await.status);
    }
    // More than is read at once, so that it is cut anywhere.
    let mut together = Wire::open(container.address).await;
    together.write(requests().concat().repeat(50)).await.unwrap();
    for number in 0..50 * alone.len() {
        let answer = together.read().await;
        assert!(answer.status == alone[number % alone.len()] && !answer.closes(), "{number}: {answer:?}");
    }
    assert_eq!(together.get("/health").await.status, 200);
}

/// HTTP/2 is known by its preface, also when that comes in pieces.
#[tokio::test(flavor = "multi_thread")]
async fn a_preface_in_pieces_is_no_slow_head() {
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0areyouok";
    const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0areyouok";
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("HEADER_TIMEOUT_MS", "500")]).await;
    let mut client = TcpStream::connect(container.address).await.unwrap();
    client.set_nodelay(true).unwrap();
    for piece in ["PR", "I * HTTP/2.0\r\n", "\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        client.write_all(piece.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(1)).await;
    client.write_all(PING).await.unwrap();
    let mut frames = Vec::new();
    while !frames.ends_with(PONG) {
        let read = timeout(PATIENCE, client.read_buf(&mut frames)).await.expect("an answer");
        assert_ne!(read.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&frames));
    }
}

/// What is left of a body would be taken for the next request, so there is none; and the client is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_left_unread_is_the_last() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    for rest in ["content-length: 5\r\n\r\n{\"a\":", "content-length: 50000\r\n\r\n{\"a\":"] {
        let mut wire = Wire::open(container.address).await;
        wire.write(format!("POST /api/v2/orders HTTP/1.1\r\nhost: test\r\n{rest}")).await.unwrap();
        let answer = wire.read().await;
        answer.is_error(401, "UNAUTHENTICATED");
        assert!(answer.closes(), "{answer:?}");
        wire.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_told_so() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("BODY_TIMEOUT_MS", "300")]).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let mut slow = Wire::open(container.address).await;
    let head = format!("POST /api/v2/orders HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n");
    slow.write(format!("{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"items\":"))
        .await
        .unwrap();
    let answer = slow.read().await;
    answer.is_error(408, "REQUEST_TIMEOUT");
    assert!(answer.closes(), "what follows would be taken for a request");
    slow.ends().await;
}

/// It never pauses for long, and never comes to its end: that is not the server's fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_drips_is_told_so() {
    let database = demo_database().await;
    let settings = [("BODY_TIMEOUT_MS", "5000"), ("REQUEST_TIMEOUT_MS", "1000")];
    let container = container(&database.endpoint(), settings).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let mut slow = Wire::open(container.address).await;
    let head = format!("POST /api/v2/orders HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n");
    slow.write(format!("{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n")).await.unwrap();
    for _ in 0..15 {
        sleep(Duration::from_millis(100)).await;
        let _ = slow.write(" ").await;
    }
    let answer = slow.read().await;
    answer.is_error(408, "REQUEST_TIMEOUT");
    assert!(answer.closes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_said_all_gets_its_answer() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut half = Wire::open(container.address).await;
    half.write(format!("GET {PRODUCT} HTTP/1.1\r\nhost: test\r\n\r\n")).await.unwrap();
    half.half_close().await;
    let answer = half.read().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["id"], "p-0001");
    half.ends().await;
    // Closed in the middle of a head: there is nothing to answer.
    let mut cut = Wire::open(container.address).await;
    cut.write("GET /hea").await.unwrap();
    cut.half_close().await;
    cut.ends().await;
    assert_eq!(Wire::open(container.address).await.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_an_error_of_the_model() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let many = "x-small: 1\r\n".repeat(1000);
    let cases = [
        ("\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400, "VALIDATION_ERROR"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "VALIDATION_ERROR"),
        ("GET /health HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "VALIDATION_ERROR"),
        (format!("GET /health HTTP/1.1\r\nhost: test\r\n{many}\r\n"), 431, "HEADERS_TOO_LARGE"),
        (format!("GET /health HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n", "a".repeat(20_000)), 431, "HEADERS_TOO_LARGE"),
        (format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "a".repeat(10_000)), 414, "URI_TOO_LONG"),
        (format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "a".repeat(70_000)), 431, "HEADERS_TOO_LARGE"),
    ];
    for (bytes, status, code) in cases {
        let start: String = bytes.chars().take(40).collect();
        println!("{start:?}");
        let mut wire = Wire::open(container.address).await;
        wire.write(bytes).await.unwrap();
        wire.read().await.is_error(status, code);
    }
}

/// Headers that never end: they are read up to a limit, and answered although the client goes on sending.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_headers_is_refused() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut flood = Wire::open(container.address).await;
    let header = format!("x-filler: {}\r\n", "a".repeat(1000));
    flood.write("GET /health HTTP/1.1\r\nhost: test\r\n").await.unwrap();
    for _ in 0..500 {
        flood.write(&header).await.unwrap();
    }
    let answer = flood.read().await;
    answer.is_error(431, "HEADERS_TOO_LARGE");
    assert!(answer.closes());
    assert_eq!(Wire::open(container.address).await.get("/health").await.status, 200);
}

/// It asks for 15 MB and reads nothing: its connection is given up, and its memory with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_dropped() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("WRITE_TIMEOUT_MS", "1000")]).await;
    let mut deaf = Wire::open(container.address).await;
    let request = "GET /api/v2/products?limit=100&level=full HTTP/1.1\r\nhost: test\r\n\r\n";
    deaf.write(request.repeat(200)).await.unwrap();
    let start = std::time::Instant::now();
    // The one that is left is the one that asks.
    while metrics::open_connections(container.metrics).await > 1.0 {
        assert!(start.elapsed() < PATIENCE, "the connection is still open");
        sleep(Duration::from_millis(100)).await;
    }
    let mut answers = 0;
    while deaf.try_read().await.is_ok() {
        answers += 1;
    }
    assert!(answers < 200, "it got all of them, so the connection had not begun when it was looked for");
    assert_eq!(Wire::open(container.address).await.get(PRODUCT).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_without_a_word() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("IDLE_TIMEOUT_MS", "500")]).await;
    let mut fresh = Wire::open(container.address).await;
    let mut used = Wire::open(container.address).await;
    assert_eq!(used.get("/health").await.status, 200);
    fresh.ends().await;
    used.ends().await;
}
