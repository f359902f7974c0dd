//! More than there is room for: what is refused is told when to come again, and `/health` always answers.

use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};

use tests::{container::Container, server::demo_database};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    container, metrics,
    wire::{PATIENCE, Wire},
};

pub(crate) const PRODUCT: &str = "/api/v2/products/p-0001";

/// Requests wait for this store until their own time is over.
pub(crate) async fn silent_store() -> (TcpListener, String) {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    (silent, endpoint)
}

/// As long as it takes to see the others refused, whatever the machine.
pub(crate) const LONG: [(&str, &str); 3] =
    [("REQUEST_TIMEOUT_MS", "20000"), ("STORE_TIMEOUT_MS", "60000"), ("STORE_ATTEMPT_TIMEOUT_MS", "60000")];

/// Connections with a request each that waits for the store.
pub(crate) async fn busy(container: &Container, target: &str, count: u16) -> Vec<Wire> {
    let before = metrics::value_of(container.metrics, "RequestsInFlight").await;
    let mut wires = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::open(container.address).await;
        wire.write(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await.unwrap();
        wires.push(wire);
    }
    metrics::in_flight(container.metrics, |now| now >= before + f64::from(count)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_request_gets_a_place_that_is_free_in_time() {
    let (_silent, endpoint) = silent_store().await;
    let settings = LONG.into_iter().chain([("MAX_IN_FLIGHT", "3"), ("MAX_WAIT_MS", "60000")]);
    let container = container(&endpoint, settings).await;
    let mut admitted = busy(&container, PRODUCT, 3).await;
    let (mut wire, start) = (Wire::open(container.address).await, Instant::now());
    let leave = async {
        sleep(Duration::from_millis(500)).await;
        admitted.remove(0).reset();
    };
    let (answer, ()) = tokio::join!(wire.get("/api/v2/nothing"), leave);
    assert_eq!(answer.status, 404, "the one that is gone left its place");
    let waited = start.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
}

/// The threads, and the requests that there may be at a time when nothing else is said.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_workers_as_it_is_told() {
    if !Container::is_the_process() {
        println!("skipped: the threads of a container in an image cannot be looked at from here");
        return;
    }
    let (_silent, endpoint) = silent_store().await;
    // Not as many as there would be without the setting.
    let count = u16::try_from(available_parallelism().unwrap().get() + 1).unwrap();
    let number = count.to_string();
    let settings = [("WORKERS", number.as_str()), ("MAX_WAIT_MS", "5000"), ("REQUEST_TIMEOUT_MS", "60000")];
    let container = container(&endpoint, LONG.into_iter().chain(settings)).await;
    let _ = rlimit::increase_nofile_limit(u64::from(32 * count) + 1000);
    let _busy = busy(&container, PRODUCT, 32 * count).await;
    let start = Instant::now();
    Wire::open(container.address).await.get("/api/v2/nothing").await.is_error(503, "UNAVAILABLE");
    assert!(start.elapsed() >= Duration::from_secs(5), "it might have waited");
    let shed = metrics::value_of(container.metrics, "RequestsShed").await;
    assert!((shed - 1.0).abs() < 0.1, "{shed} are shed: there is less room");
    // tokio's threads for what blocks have the same name, and end when they have had nothing to do for ten seconds.
    let start = Instant::now();
    while workers(container.pid()) != usize::from(count) {
        assert!(start.elapsed() < PATIENCE, "{} workers", workers(container.pid()));
        sleep(Duration::from_millis(100)).await;
    }
}

/// How many threads of tokio a process has.
#[cfg(target_os = "linux")]
fn workers(pid: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("tokio-")).count()
}

/// With HTTP/1.1 as well, a client that is gone does not keep the place of its request. One that has said all might wait.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_gone_leave_room_for_others() {
    let (_silent, endpoint) = silent_store().await;
    let container = container(&endpoint, LONG.into_iter().chain([("MAX_IN_FLIGHT", "3")])).await;
    for wire in busy(&container, PRODUCT, 3).await {
        wire.reset();
    }
    let (mut wire, start) = (Wire::open(container.address).await, Instant::now());
    while wire.get("/api/v2/nothing").await.status != 404 {
        assert!(start.elapsed() < Duration::from_secs(10), "their requests go on");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What writes runs to its end: its client will ask what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_goes_on_without_its_client() {
    let (_silent, endpoint) = silent_store().await;
    let container = container(&endpoint, LONG).await;
    let token = dev::token::issue(&"user-123".parse().unwrap(), None);
    let mut wire = Wire::open(container.address).await;
    let head = format!("DELETE /api/v2/orders/some HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n");
    wire.write(format!("{head}if-match: \"1\"\r\n\r\n")).await.unwrap();
    metrics::in_flight(container.metrics, |now| now > metrics::NONE).await;
    wire.reset();
    sleep(Duration::from_secs(1)).await;
    assert!(metrics::value_of(container.metrics, "RequestsInFlight").await > metrics::NONE, "it was given up");
}

/// Above its limit of connections, a server closes those that do nothing, the longest idle first.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("MAX_CONNECTIONS", "20")]).await;
    let mut first = Wire::open(container.address).await;
    assert_eq!(first.get("/health").await.status, 200);
    // The client may have its answer before the server knows that it has left, and is idle from then on.
    metrics::in_flight(container.metrics, |now| now <= metrics::NONE).await;
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
    // Those of this machine have a few places more, or the health check of a task would be turned away.
    let mut check = Container::command(env!("CARGO_BIN_EXE_container").as_ref());
    check.arg("--healthcheck").env("PORT", container.address.port().to_string());
    assert!(check.status().await.unwrap().success());
    let _more = busy(&container, "/health/ready", 8).await;
    for _ in 0..3 {
        Wire::open(container.address).await.ends().await;
    }
    assert!((metrics::value_of(container.metrics, "ConnectionsRefused").await - 3.0).abs() < 0.1);
    container.logged(|line| line["message"] == "new connections are closed without an answer").await;
}

/// What 10,000 idle connections may take, in bytes: docs/container.md.
const IDLE_MEMORY: u64 = 350_000_000;

/// 10,000 connections that have been used, and do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_are_borne() {
    const CONNECTIONS: usize = 10_000;
    let files = rlimit::increase_nofile_limit(CONNECTIONS as u64 + 1000).unwrap_or_default();
    if files < CONNECTIONS as u64 + 1000 {
        assert!(std::env::var_os("CI").is_none(), "{files} open files are too few");
        println!("skipped: this process may open {files} files only; raise its limit (ulimit -n)");
        return;
    }
    let database = demo_database().await;
    let settings = [("MAX_CONNECTIONS", "11000"), ("IDLE_TIMEOUT_MS", "600000")];
    let container = container(&database.endpoint(), settings).await;
    let before = container.memory();
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::open(container.address).await;
        assert_eq!(wire.get("/health").await.status, 200);
        idle.push(wire);
    }
    assert_eq!(Wire::open(container.address).await.get(PRODUCT).await.status, 200);
    let open = metrics::open_connections(container.metrics).await;
    // And the one that asks.
    assert!(open > 10_000.0, "{open} connections are open");
    if Container::is_the_process() {
        let (before, after) = (before.unwrap_or_default(), container.memory().unwrap_or_default());
        println!("{} MB with {CONNECTIONS} idle connections, {} MB without", after / 1_000_000, before / 1_000_000);
        assert!((1..IDLE_MEMORY).contains(&after), "{after} bytes");
    }
    let oldest = 0..100;
    let some = (0..500).map(|_| fastrand::usize(..CONNECTIONS));
    for number in oldest.chain(some) {
        assert_eq!(idle[number].get("/health").await.status, 200, "{number}");
    }
}
