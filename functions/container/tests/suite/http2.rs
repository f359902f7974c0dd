//! The limits of HTTP/2, frame by frame.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::{container::Container, server::demo_database};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    container,
    frames::{
        ACK, CANCEL, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, PING,
        REFUSED_STREAM, RST_STREAM, SETTINGS, frame, request,
    },
    metrics,
    overload::{LONG, PRODUCT, busy, silent_store},
    wire::{PATIENCE, Wire},
};

/// What a client takes of each answer that reads them all.
const ALL: u32 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_told() {
    let container = container("http://127.0.0.1:1", []).await;
    let told = Frames::open(container.address, ALL).await.frame(SETTINGS).await;
    let of = |name: u8| {
        let setting = told.payload.chunks(6).find(|setting| setting[..2] == [0, name]);
        setting.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!([3, 6, 4].map(of), [Some(100), Some(65_536), Some(65_536)], "streams, headers, what is not read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_hundred_requests_at_a_time() {
    let (_silent, endpoint) = silent_store().await;
    let settings = [
        ("MAX_IN_FLIGHT", "200"),
        ("MAX_WAIT_MS", "60000"),
        ("REQUEST_TIMEOUT_MS", "4000"),
        ("STORE_TIMEOUT_MS", "60000"),
        ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
    ];
    let container = container(&endpoint, settings).await;
    let mut client = Frames::open(container.address, ALL).await;
    for number in 0..101 {
        client.get(2 * number + 1, PRODUCT).await;
    }
    let refused = client.frame(RST_STREAM).await;
    assert_eq!((refused.stream, refused.number(0)), (201, REFUSED_STREAM));
    for _ in 0..100 {
        let (stream, body) = client.answer().await;
        assert!(String::from_utf8_lossy(&body).contains(r#""code":"TIMEOUT""#), "{stream}");
    }
    client.is_well(203).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_have_a_limit() {
    let container = container("http://127.0.0.1:1", []).await;
    let mut client = Frames::open(container.address, ALL).await;
    let long = "a".repeat(10_000);
    let fields = |count| vec![("x-long", long.as_str()); count];
    let mut stream = 1;
    for count in [7, 2] {
        let headers = request("GET", "/health", &fields(count));
        let pieces: Vec<_> = headers.chunks(16_000).collect();
        for (number, piece) in pieces.iter().enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let last = if number + 1 == pieces.len() { END_HEADERS } else { 0 };
            client.send(kind, last | if number == 0 { END_STREAM } else { 0 }, stream, piece).await;
        }
        if count == 2 {
            client.is_error(stream, 431, "HEADERS_TOO_LARGE").await;
        } else {
            // The status in Huffman's code, which is all that there is.
            let answer = client.frame(HEADERS).await;
            assert!(answer.payload.windows(3).any(|bytes| bytes == b"\x69\x90\xff"), "431: {answer:?}");
            assert_ne!(answer.flags & END_STREAM, 0);
        }
        stream += 2;
    }
    client.is_well(stream).await;
}

/// Each of them is small, and there is no end to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_only_so_many_pieces() {
    let container = container("http://127.0.0.1:1", []).await;
    let mut client = Frames::open(container.address, ALL).await;
    client.send(HEADERS, END_STREAM, 1, &request("GET", "/health", &[])).await;
    for _ in 0..10_000 {
        // Nobody takes it once the server has seen enough.
        if client.write(&frame(CONTINUATION, 0, 1, &[])).await.is_err() {
            break;
        }
    }
    assert_eq!(client.frame(GOAWAY).await.number(4), ENHANCE_YOUR_CALM);
    client.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_stops_is_idle() {
    let container = container("http://127.0.0.1:1", [("IDLE_TIMEOUT_MS", "500"), ("WRITE_TIMEOUT_MS", "500")]).await;
    let mut client = Frames::open(container.address, ALL).await;
    client.send(HEADERS, END_STREAM, 1, &request("GET", "/health", &[])).await;
    client.ends().await;
}

/// The head that takes the most memory that one can, and is not complete: many small fields, then the beginning of a long
/// one, and the beginning of a frame.
fn dear_head() -> Vec<u8> {
    let names: Vec<_> = (0..1700).map(|number| format!("a{number}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let long = [b"\0\x01z\x7f\xff\xff\x07".to_vec(), b"v".repeat(80_000)].concat();
    let mut bytes = frame(HEADERS, END_STREAM, 1, &request("GET", "/health", &fields));
    bytes.extend(long.chunks(16_384).flat_map(|piece| frame(CONTINUATION, 0, 1, piece)));
    let last = frame(CONTINUATION, 0, 1, &b"v".repeat(16_384));
    bytes.extend(&last[..last.len() - 1]);
    bytes
}

/// Only so many of them are borne, whoever sends them: docs/container.md.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_not_complete_take_only_so_much_memory() {
    const CLIENTS: usize = 500;
    const BORNE: u32 = 128;
    let container = container("http://127.0.0.1:1", []).await;
    let (before, head) = (container.memory(), dear_head());
    let mut other = Frames::open(container.address, ALL).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Frames::open(container.address, ALL).await;
        // The server may not take all of it.
        let _ = client.write(&head).await;
        clients.push(client);
    }
    // Besides the one that is well, and the one that asks.
    let (most, start) = (f64::from(BORNE) + 2.0, Instant::now());
    while metrics::open_connections(container.metrics).await > most {
        assert!(start.elapsed() < PATIENCE, "all are borne");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(metrics::open_connections(container.metrics).await >= most, "fewer are borne");
    if Container::is_the_process() {
        let taken = container.memory().unwrap_or_default().saturating_sub(before.unwrap_or_default());
        println!("{} KB for each of {BORNE}", taken / u64::from(BORNE) / 1000);
        assert!((1..100_000_000).contains(&taken), "{taken} bytes");
    }
    other.is_well(1).await;
    clients.clear();
    let mut again = Frames::open(container.address, ALL).await;
    again.send(HEADERS, END_STREAM, 1, &request("GET", "/health", &[])).await;
    again.send(CONTINUATION, END_HEADERS, 1, &[]).await;
    assert_eq!(again.answer().await.0, 1, "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_holds_up_nobody_else() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("BODY_TIMEOUT_MS", "1000")]).await;
    let token = format!("Bearer {}", dev::token::issue(&"user-123".parse().unwrap(), None));
    let more = [("authorization", token.as_str()), ("content-type", "application/json")];
    let mut client = Frames::open(container.address, ALL).await;
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/api/v2/orders", &more)).await;
    client.send(0, 0, 1, b"{").await;
    client.is_well(3).await;
    client.is_error(1, 408, "REQUEST_TIMEOUT").await;
    client.is_well(5).await;
}

/// Known as "rapid reset": what is taken back at once costs the server more than the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_that_are_taken_back_is_borne() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut client = Frames::open(container.address, ALL).await;
    let headers = request("GET", PRODUCT, &[]);
    for number in 0..10_000 {
        let stream = 2 * number + 1;
        let get = frame(HEADERS, END_STREAM | END_HEADERS, stream, &headers);
        let back = frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        if client.write(&[get, back].concat()).await.is_err() {
            break;
        }
    }
    let mut other = Wire::open(container.address).await;
    assert_eq!(other.get(PRODUCT).await.status, 200);
    metrics::in_flight(container.metrics, |count| count <= metrics::NONE).await;
    assert_eq!(other.get(PRODUCT).await.status, 200);
}

/// Frames that ask for an answer of their own, from a client that reads none.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_without_a_reader_is_given_up() {
    let container = container("http://127.0.0.1:1", [("WRITE_TIMEOUT_MS", "1000")]).await;
    for question in [frame(PING, 0, 0, b"areyouok"), frame(SETTINGS, 0, 0, &[])] {
        let mut client = Frames::open(container.address, ALL).await;
        let many = question.repeat(1000);
        let flood = async { while client.write(&many).await.is_ok() {} };
        timeout(PATIENCE, flood).await.expect("the server gives it up");
    }
    assert_eq!(Wire::open(container.address).await.get("/health").await.status, 200);
}

/// It reads each answer, and that is all that it does.
#[tokio::test(flavor = "multi_thread")]
async fn questions_alone_keep_no_connection() {
    let settings = [("IDLE_TIMEOUT_MS", "1000"), ("WRITE_TIMEOUT_MS", "1000")];
    let container = container("http://127.0.0.1:1", settings).await;
    for question in [frame(PING, 0, 0, b"areyouok"), frame(SETTINGS, 0, 0, &[])] {
        let mut client = Frames::open(container.address, ALL).await;
        let (start, mut answers) = (Instant::now(), 0);
        while client.write(&question).await.is_ok() {
            // By then the connection may be gone.
            let Some(answer) = client.next().await else { break };
            answers += u32::from(answer.flags & ACK != 0);
            assert!(start.elapsed() < PATIENCE, "the connection goes on");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(answers > 10, "{answers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_above_the_limit_are_shed_here_too() {
    let (_silent, endpoint) = silent_store().await;
    let container = container(&endpoint, LONG.into_iter().chain([("MAX_IN_FLIGHT", "3")])).await;
    let _busy = busy(&container, PRODUCT, 3).await;
    let stream = TokioIo::new(TcpStream::connect(container.address).await.unwrap());
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut get = async |target: &str| {
        let request = Request::get(format!("http://test{target}")).body(Empty::<Bytes>::new());
        client.send_request(request.unwrap()).await.unwrap()
    };
    let shed = get("/api/v2/nothing").await;
    assert_eq!(shed.status(), 503);
    let wait = shed.headers()["retry-after"].to_str().unwrap().to_owned();
    let body = shed.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["code"], body["retryAfter"].to_string()), (&"UNAVAILABLE".into(), wait));
    assert_eq!(get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_taken_back_ends() {
    let (_silent, endpoint) = silent_store().await;
    let container = container(&endpoint, LONG).await;
    let mut client = Frames::open(container.address, ALL).await;
    client.get(1, PRODUCT).await;
    let start = Instant::now();
    metrics::in_flight(container.metrics, |count| count > metrics::NONE).await;
    client.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()).await;
    metrics::in_flight(container.metrics, |count| count <= metrics::NONE).await;
    assert!(start.elapsed() < Duration::from_secs(15), "long before its time is over");
    client.is_well(3).await;
}
