//! More than there is room for: what is refused is told when to come again, and `/health` always answers.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::{container::Container, server::demo_database};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    container, metrics,
    wire::{PATIENCE, Wire},
};

const PRODUCT: &str = "/api/v2/products/p-0001";

/// Requests wait for this store until their own time is over.
async fn silent_store() -> (TcpListener, String) {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    (silent, endpoint)
}

/// As long as it takes to see the others refused, whatever the machine.
const LONG: [(&str, &str); 3] =
    [("REQUEST_TIMEOUT_MS", "20000"), ("STORE_TIMEOUT_MS", "60000"), ("STORE_ATTEMPT_TIMEOUT_MS", "60000")];

/// Connections with a request each that waits for the store.
async fn busy(container: &Container, target: &str, count: u8) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::open(container.address).await;
        wire.write(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await.unwrap();
        wires.push(wire);
    }
    let start = Instant::now();
    // And the one that asks.
    while metrics::value_of(container.metrics, "RequestsInFlight").await < f64::from(count) + 1.0 {
        assert!(start.elapsed() < PATIENCE, "the requests do not arrive");
    }
    wires
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_above_the_limit_are_shed() {
    let (_silent, endpoint) = silent_store().await;
    let container = container(&endpoint, LONG.into_iter().chain([("MAX_IN_FLIGHT", "3")])).await;
    let mut admitted = busy(&container, PRODUCT, 3).await;
    let mut wire = Wire::open(container.address).await;
    let shed = wire.get("/api/v2/nothing").await;
    shed.is_error(503, "UNAVAILABLE");
    assert!(!shed.closes(), "it may ask again on the same connection");
    assert_eq!(wire.get("/health").await.status, 200);
    assert!(metrics::value_of(container.metrics, "RequestsShed").await >= 1.0);
    for wire in &mut admitted {
        wire.read().await.is_error(504, "TIMEOUT");
    }
    assert_eq!(wire.get("/api/v2/nothing").await.status, 404, "there is room again");
}

/// A connection of HTTP/2 whose client takes one byte of each answer.
struct Deaf {
    connection: JoinHandle<hyper::Result<()>>,
    answers: Vec<Response<Incoming>>,
    /// While it is there, the connection ends by the server alone.
    _sender: http2::SendRequest<Empty<Bytes>>,
}

/// One with so many answers.
async fn deaf(container: &Container, count: usize) -> Deaf {
    let stream = TokioIo::new(TcpStream::connect(container.address).await.unwrap());
    let client = http2::Builder::new(TokioExecutor::new()).initial_stream_window_size(1).handshake(stream).await;
    let (mut sender, connection) = client.unwrap();
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..count {
        let request = Request::get(format!("http://{}{PRODUCT}", container.address)).body(Empty::<Bytes>::new());
        answers.push(sender.send_request(request.unwrap()).await.unwrap());
        assert_eq!(answers[answers.len() - 1].status(), 200);
    }
    Deaf { connection, answers, _sender: sender }
}

impl Deaf {
    /// The connection is given up, whatever its client makes of that.
    async fn given_up(self) {
        let _ = timeout(PATIENCE, self.connection).await.expect("the connection ends");
        for answer in self.answers {
            assert!(answer.into_body().collect().await.is_err(), "the answer is not whole");
        }
    }
}

/// With HTTP/2 a client says how much it takes: the socket itself is never full.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_over_http2_is_given_up() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("WRITE_TIMEOUT_MS", "1000")]).await;
    deaf(&container, 3).await.given_up().await;
}

/// Their answers do not keep the places of requests, and there is an end to how many they are.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_nothing_leave_room_for_others() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("MAX_IN_FLIGHT", "2"), ("WRITE_TIMEOUT_MS", "60000")]).await;
    let many = deaf(&container, 7).await;
    let mut other = Wire::open(container.address).await;
    assert_eq!(other.get(PRODUCT).await.status, 200, "more than requests at a time");
    let one_too_many = deaf(&container, 1).await;
    let start = Instant::now();
    while other.get(PRODUCT).await.status != 200 {
        assert!(start.elapsed() < PATIENCE, "there is never room again");
    }
    many.given_up().await;
    drop(one_too_many);
}

/// Above its limit of connections, a server closes those that do nothing, the longest idle first.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("MAX_CONNECTIONS", "20")]).await;
    let mut first = Wire::open(container.address).await;
    assert_eq!(first.get("/health").await.status, 200);
    let mut idle = Vec::new();
    for _ in 0..19 {
        idle.push(Wire::open(container.address).await);
    }
    let mut one_more = Wire::open(container.address).await;
    assert_eq!(one_more.get(PRODUCT).await.status, 200);
    first.ends().await;
    for wire in &mut idle {
        assert_eq!(wire.get(PRODUCT).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_connections_do_not_make_room() {
    let (_silent, endpoint) = silent_store().await;
    let container = container(&endpoint, LONG.into_iter().chain([("MAX_CONNECTIONS", "3")])).await;
    let _busy = busy(&container, PRODUCT, 3).await;
    let answer = Wire::open(container.address).await.get("/api/v2/nothing").await;
    answer.is_error(503, "UNAVAILABLE");
    assert!(answer.closes(), "there is no room for the connection either");
    assert_eq!(Wire::open(container.address).await.get("/health").await.status, 200);
}

/// Slowloris with more connections than there may be: the oldest heads make room, and are told why.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_make_room() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("MAX_CONNECTIONS", "20")]).await;
    let mut slow = Vec::new();
    for _ in 0..60 {
        let mut wire = Wire::open(container.address).await;
        wire.write("GET /health HTTP/1.1\r\nhost: test\r\n").await.unwrap();
        slow.push(wire);
        // As they would come over a network.
        sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        assert_eq!(Wire::open(container.address).await.get("/health").await.status, 200);
    }
    let answer = slow[0].read().await;
    answer.is_error(503, "UNAVAILABLE");
    assert!(answer.closes());
    slow[59].write("\r\n").await.unwrap();
    assert_eq!(slow[59].read().await.status, 200, "the last has had the least time");
    assert!(metrics::value_of(container.metrics, "ConnectionsRefused").await < 1.0);
}

/// Questions about the server's health are never shed, so they alone can take all the room.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_turned_away_are_counted() {
    let (_silent, endpoint) = silent_store().await;
    let mut container = container(&endpoint, LONG.into_iter().chain([("MAX_CONNECTIONS", "3")])).await;
    let _busy = busy(&container, "/health/ready", 3 + 16).await;
    for _ in 0..3 {
        Wire::open(container.address).await.ends().await;
    }
    assert!((metrics::value_of(container.metrics, "ConnectionsRefused").await - 3.0).abs() < 0.1);
    container.logged(|line| line["message"] == "new connections are closed without an answer").await;
}

/// 10,000 connections that do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_are_borne() {
    const CONNECTIONS: usize = 10_000;
    let files = rlimit::increase_nofile_limit(CONNECTIONS as u64 + 1000).unwrap_or_default();
    if files < CONNECTIONS as u64 + 1000 {
        println!("skipped: this process may open {files} files only; raise its limit (ulimit -n)");
        return;
    }
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("MAX_CONNECTIONS", "10000")]).await;
    let mut idle = Vec::new();
    let mut other = Wire::open(container.address).await;
    for count in 0..CONNECTIONS {
        idle.push(Wire::open(container.address).await);
        if count % 1000 == 0 {
            assert_eq!(other.get("/health").await.status, 200);
        }
    }
    assert_eq!(other.get(PRODUCT).await.status, 200);
    assert_eq!(Wire::open(container.address).await.get(PRODUCT).await.status, 200);
    if let Some(memory) = container.memory().filter(|_| Container::is_the_process()) {
        println!("{} MB with {CONNECTIONS} idle connections", memory / 1_000_000);
    }
    for wire in idle.iter_mut().rev().take(100) {
        assert_eq!(wire.get("/health").await.status, 200);
    }
}
