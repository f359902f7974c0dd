//! How a server ends: on SIGTERM nothing is lost, on SIGKILL nothing that was acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, routing::post};
use futures_util::future::join_all;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tests::{
    case,
    container::Container,
    server::{demo_database, plain_client, send, serve},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    container,
    wire::{PATIENCE, Wire},
};

const PRODUCT: &str = "/api/v2/products/p-0001";
const CLIENTS: usize = 16;
/// Connections that are opened while the server stands still: the system holds 128 for it.
const WAITING: usize = 100;

/// Clients send without a pause, and stop as a load balancer does: once readiness fails.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_the_server_is_stopped_under_load() {
    let database = demo_database().await;
    let mut container = container(&database.endpoint(), [("DRAIN_DELAY_MS", "3000")]).await;
    let address = container.address;
    let (stop, served, after) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
    let client = |stop: Arc<AtomicBool>, served: Arc<AtomicUsize>, after: Arc<AtomicUsize>| async move {
        let mut wire = None;
        while !stop.load(Ordering::Relaxed) {
            let mut open = match wire.take() {
                Some(open) => open,
                None => Wire::open(address).await,
            };
            let answer = open.get(PRODUCT).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["id"], "p-0001");
            served.fetch_add(1, Ordering::Relaxed);
            if answer.closes() {
                after.fetch_add(1, Ordering::Relaxed);
            } else {
                wire = Some(open);
            }
        }
    };
    let start = |_| tokio::spawn(client(Arc::clone(&stop), Arc::clone(&served), Arc::clone(&after)));
    let clients: Vec<_> = (0..CLIENTS).map(start).collect();
    let mut balancer = Wire::open(address).await;
    assert_eq!(balancer.get("/health/ready").await.status, 200);
    while served.load(Ordering::Relaxed) < 100 {
        sleep(Duration::from_millis(10)).await;
    }
    container.signal("TERM").await;
    loop {
        let answer = Wire::open(address).await.get("/health/ready").await;
        if answer.status == 503 {
            answer.is_error(503, "UNAVAILABLE");
            assert_eq!(Wire::open(address).await.get("/health").await.status, 200, "it lives");
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client lost a request");
    }
    assert!(after.load(Ordering::Relaxed) > 0, "clients are asked to leave");
    assert!(container.ended().await.success());
    assert!(TcpStream::connect(address).await.is_err());
}

/// Asks until no connection is to be had any more; each question must be answered. Says how many answers were the last of
/// their connection.
async fn until_refused(address: std::net::SocketAddr, target: &str, pause: Duration) -> usize {
    let (mut wire, mut last) = (None, 0);
    loop {
        let mut open = match wire.take() {
            Some(open) => open,
            None => match Wire::try_open(address).await {
                Ok(open) => open,
                Err(_) => return last,
            },
        };
        sleep(pause).await;
        let answer = open.get(target).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if answer.closes() {
            last += 1;
        } else {
            wire = Some(open);
        }
    }
}

/// Clients go on until they are refused. Some of them are between their connection and their request when the listener is
/// closed, and some hold a connection from before; half of them ask for what comes from the store.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_the_listener_is_closed() {
    let database = demo_database().await;
    let settings = [("DRAIN_DELAY_MS", "300"), ("MAX_WAIT_MS", "60000")];
    let mut container = container(&database.endpoint(), settings).await;
    let client = |number: usize| {
        let pause = Duration::from_millis([0, 50, 100, 400][number % 4]);
        let target = ["/health", PRODUCT][number / 4 % 2];
        tokio::spawn(until_refused(container.address, target, pause))
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    sleep(Duration::from_millis(500)).await;
    container.signal("TERM").await;
    for client in clients {
        assert!(client.await.expect("a client lost a request") > 0, "clients are asked to leave");
    }
    assert!(container.ended().await.success());
}

/// The system accepts connections for a server that has no time for them, and resets those that it has not taken over when
/// its listener closes.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_that_waits_in_front_of_the_listener() {
    if !Container::is_the_process() {
        println!("skipped: SIGSTOP would reach only what runs the container");
        return;
    }
    let database = demo_database().await;
    let settings = [("DRAIN_DELAY_MS", "0"), ("MAX_WAIT_MS", "60000"), ("REQUEST_TIMEOUT_MS", "60000")];
    let mut container = container(&database.endpoint(), settings).await;
    container.signal("STOP").await;
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut wire = Wire::open(container.address).await;
        wire.write(format!("GET {PRODUCT} HTTP/1.1\r\nhost: test\r\n\r\n")).await.unwrap();
        waiting.push(wire);
    }
    container.signal("TERM").await;
    container.signal("CONT").await;
    for wire in &mut waiting {
        let answer = wire.read().await;
        assert!(answer.status == 200 && answer.closes(), "{answer:?}");
        assert_eq!(answer.json()["id"], "p-0001");
    }
    assert!(container.ended().await.success());
}

/// A client that has been quiet for longer than the last call takes has that time all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_an_old_connection_is_not_lost() {
    let database = demo_database().await;
    let mut container = container(&database.endpoint(), [("DRAIN_DELAY_MS", "0")]).await;
    let mut wire = Wire::open(container.address).await;
    assert_eq!(wire.get("/health").await.status, 200);
    sleep(Duration::from_millis(1500)).await;
    container.signal("TERM").await;
    container.logged(|line| line["message"] == "draining").await;
    sleep(Duration::from_millis(300)).await;
    let answer = wire.get("/health").await;
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
    assert!(container.ended().await.success());
}

/// What is in flight when nothing new is accepted any more is answered, over HTTP/1.1 and HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = [
        ("DRAIN_DELAY_MS", "0"),
        ("REQUEST_TIMEOUT_MS", "3000"),
        ("STORE_TIMEOUT_MS", "60000"),
        ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
    ];
    let mut container = container(&endpoint, settings).await;
    let mut slow = Wire::open(container.address).await;
    slow.write(format!("GET {PRODUCT} HTTP/1.1\r\nhost: test\r\n\r\n")).await.unwrap();
    let mut h2 = http2(container.address).await;
    let request = Request::get(format!("http://test{PRODUCT}")).body(Empty::new()).unwrap();
    let slow_too = tokio::spawn(async move { h2.send_request(request).await });
    // Both have arrived when the store has heard of them.
    let heard = tokio::time::timeout(PATIENCE, silent.accept()).await.unwrap().unwrap();
    sleep(Duration::from_millis(200)).await;
    container.signal("TERM").await;
    container.logged(|line| line["message"] == "draining").await;
    slow.read().await.is_error(504, "TIMEOUT");
    slow.ends().await;
    let answer = slow_too.await.unwrap().expect("an answer");
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"], "TIMEOUT");
    assert!(container.ended().await.success());
    drop(heard);
}

/// A client that would never finish does not keep the process.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_comes_in_time() {
    let database = demo_database().await;
    let settings = [("DRAIN_DELAY_MS", "0"), ("DRAIN_TIMEOUT_MS", "500"), ("HEADER_TIMEOUT_MS", "600000")];
    let mut container = container(&database.endpoint(), settings).await;
    let mut endless = Wire::open(container.address).await;
    endless.write("GET /health HTTP/1.1\r\nx-").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    container.signal("TERM").await;
    let cut = container.logged(|line| line["message"].as_str().is_some_and(|said| said.contains("were cut"))).await;
    let taken = start.elapsed();
    assert_eq!(cut["connections"], 1);
    assert!((Duration::from_millis(500)..Duration::from_secs(10)).contains(&taken), "{taken:?}");
    assert!(container.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let database = demo_database().await;
    let endpoint = database.endpoint();
    if !Container::is_the_process() {
        println!("skipped: SIGKILL would reach only what runs the container");
        return;
    }
    let mut first = container(&endpoint, []).await;
    let put = case::Request {
        method: "PUT".into(),
        target: "/api/v2/orders/kept".into(),
        user: Some("user-123".into()),
        headers: [].into(),
        body: Some(json!({ "version": 0, "items": [{ "productId": "p-0001", "quantity": 2 }] })),
    };
    let client = plain_client();
    assert_eq!(send(&client, first.address, &put).await.status, 201);
    first.signal("KILL").await;
    assert!(!first.ended().await.success());

    let second = container(&endpoint, []).await;
    assert_eq!(send(&client, second.address, &put).await.status, 200, "a retry is recognised");
    let get = case::Request { method: "GET".into(), body: None, ..put };
    let answer = send(&client, second.address, &get).await;
    assert_eq!(answer.status, 200);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["version"], 1);
}

/// The store is gone for ten seconds: the server lives, says that it is not ready, and recovers by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_goes_and_comes_back() {
    let database = demo_database().await;
    let upstream = database.endpoint().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let road = tokio::spawn(road(listener, upstream.clone()));
    let container = container(&format!("http://{address}"), []).await;
    let mut wire = Wire::open(container.address).await;
    assert_eq!(wire.get(PRODUCT).await.status, 200);
    assert_eq!(wire.get("/health/ready").await.status, 200);

    road.abort();
    let gone = Instant::now();
    assert!(road.await.unwrap_err().is_cancelled());
    while gone.elapsed() < Duration::from_secs(10) {
        wire.get(PRODUCT).await.is_error(502, "BACKEND_ERROR");
        assert_eq!(wire.get("/health").await.status, 200);
        sleep(Duration::from_millis(500)).await;
    }
    wire.get("/health/ready").await.is_error(503, "UNAVAILABLE");

    let listener = TcpListener::bind(address).await.unwrap();
    let road = tokio::spawn(self::road(listener, upstream));
    let back = Instant::now();
    while wire.get("/health/ready").await.status != 200 {
        assert!(back.elapsed() < PATIENCE, "it does not recover");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(wire.get(PRODUCT).await.status, 200);
    road.abort();
}

/// A load balancer asks from several nodes at once, each of them as often as it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_asks_the_store_once_a_second_at_most() {
    let (questions, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let counted = Arc::clone(&questions);
    let count = async move |body: String| {
        counted.fetch_add(usize::from(body.contains("readiness")), Ordering::Relaxed);
        sleep(Duration::from_millis(50)).await;
        "{}"
    };
    let endpoint = serve(Router::new().route("/", post(count))).await;
    // A question that is put again counts as well.
    let settings = [("STORE_TIMEOUT_MS", "60000"), ("STORE_ATTEMPT_TIMEOUT_MS", "60000")];
    let container = container(&endpoint, settings).await;
    let mut nodes = Vec::new();
    for _ in 0..8 {
        nodes.push(Wire::open(container.address).await);
    }
    let first = Instant::now();
    while first.elapsed() < Duration::from_millis(2500) || questions.load(Ordering::Relaxed) < 2 {
        assert!(first.elapsed() < PATIENCE, "what the store said once is good for ever");
        let answers = join_all(nodes.iter_mut().map(|node| node.get("/health/ready"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        sleep(Duration::from_millis(50)).await;
    }
    let (asked, seconds) = (questions.load(Ordering::Relaxed), usize::try_from(start.elapsed().as_secs()).unwrap());
    assert!((2..=seconds + 1).contains(&asked), "asked {asked} times in {seconds} s");
}

/// Forwards connections until it is dropped, and all of them with it.
async fn road(listener: TcpListener, upstream: String) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut store = TcpStream::connect(&upstream).await.unwrap();
        connections.spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut store).await });
    }
}

async fn http2(address: std::net::SocketAddr) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// HTTP/2 without TLS, as a load balancer with a target group of that version speaks it.
#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_without_tls() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut h2 = http2(container.address).await;
    let mut over_http1 = Wire::open(container.address).await;
    for target in [PRODUCT, "/health", "/api/v2/nothing"] {
        let request = Request::get(format!("http://test{target}")).body(Empty::new()).unwrap();
        let answer = h2.send_request(request).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        let expected = over_http1.get(target).await;
        assert_eq!(answer.status(), expected.status);
        assert_eq!(answer.headers()["content-type"], expected.headers["content-type"]);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        if expected.status == 200 {
            assert_eq!(body, expected.body);
        }
    }
}

/// The binary itself is the health check.
#[tokio::test(flavor = "multi_thread")]
async fn the_binary_asks_a_server_whether_it_lives() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let check = async |port: u16| {
        let mut check = Container::command(env!("CARGO_BIN_EXE_container").as_ref());
        check.arg("--healthcheck").env("PORT", port.to_string()).output().await.unwrap()
    };
    let good = check(container.address.port()).await;
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let bad = check(container.metrics.port()).await;
    assert!(!bad.status.success());
    let said = String::from_utf8_lossy(&bad.stderr);
    assert!(said.contains("/health") && said.contains("404"), "{said}");
    let mut unknown = Container::command(env!("CARGO_BIN_EXE_container").as_ref());
    let unknown = unknown.arg("--help").output().await.unwrap();
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--healthcheck"));
}
