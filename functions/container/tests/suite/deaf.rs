//! Clients of HTTP/2 that do not take their answers. The socket itself is never full: a client says how much it takes.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tests::{container::Container, server::demo_database};
use tokio::time::{sleep, timeout};

use crate::{
    container,
    frames::{Frames, HEADERS, PING, WINDOW_UPDATE, frame, get},
    overload::PRODUCT,
    wire::{PATIENCE, Wire},
};

/// A client that takes nothing of its answers to so many requests.
async fn deaf(container: &Container, target: &str, count: u32) -> Frames {
    let mut client = Frames::open(container.address, 0).await;
    for number in 0..count {
        client.get(2 * number + 1, target).await;
    }
    for _ in 0..count {
        client.frame(HEADERS).await;
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_over_http2_is_given_up() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("WRITE_TIMEOUT_MS", "1000")]).await;
    deaf(&container, PRODUCT, 3).await.ends().await;
}

/// Whatever else it does meanwhile on its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_something_else_is_given_up() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("WRITE_TIMEOUT_MS", "1000")]).await;
    for asks in [false, true] {
        let mut client = deaf(&container, PRODUCT, 1).await;
        let busy = async {
            for stream in (3..).step_by(2) {
                let question = if asks {
                    let more = frame(WINDOW_UPDATE, 0, stream, &100_u32.to_be_bytes());
                    [get(stream, "/health"), more].concat()
                } else {
                    frame(PING, 0, 0, b"areyouok")
                };
                if client.write(&question).await.is_err() || client.next().await.is_none() {
                    break;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(PATIENCE, busy).await.unwrap_or_else(|_| panic!("it goes on, asks: {asks}"));
    }
}

/// Asks a hundred times, takes nothing, and comes again at once when it is given up.
async fn attack(address: SocketAddr) {
    loop {
        let mut client = Frames::open(address, 0).await;
        for number in 0..100 {
            let _ = client.write(&get(2 * number + 1, "/health")).await;
        }
        client.ends().await;
    }
}

/// Answers that are small and many take little memory, so they are nobody else's trouble.
#[tokio::test(flavor = "multi_thread")]
async fn small_answers_that_nobody_takes_leave_room_for_others() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), [("MAX_IN_FLIGHT", "256")]).await;
    let address = container.address;
    // A client that is given up comes again at once.
    let attackers: Vec<_> = (0..20).map(|_| tokio::spawn(attack(address))).collect();
    sleep(Duration::from_millis(500)).await;
    let (mut other, start) = (Wire::open(address).await, Instant::now());
    let mut statuses = Vec::new();
    while start.elapsed() < Duration::from_secs(4) {
        statuses.push(other.get(PRODUCT).await.status);
        sleep(Duration::from_millis(20)).await;
    }
    let shed = statuses.iter().filter(|status| **status != 200).count();
    assert!(shed * 20 <= statuses.len(), "{shed} of {}", statuses.len());
    for attacker in attackers {
        attacker.abort();
    }
}

/// Who has not taken many answers for a while gets no others, and is told to come again.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_gets_nothing() {
    let database = demo_database().await;
    let container = container(&database.endpoint(), []).await;
    let mut client = deaf(&container, PRODUCT, 20).await;
    sleep(Duration::from_millis(1500)).await;
    client.get(101, PRODUCT).await;
    client.send(WINDOW_UPDATE, 0, 101, &10_000_u32.to_be_bytes()).await;
    client.is_error(101, 503, "UNAVAILABLE").await;
    assert_eq!(Wire::open(container.address).await.get(PRODUCT).await.status, 200);
}

/// Answers that are large take so much memory, and not more: those that take the least of it are given up first.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_that_nobody_takes_have_only_so_much_memory() {
    const ANSWERS: u64 = 60;
    const LARGE: u64 = 2_400_000;
    /// What may wait, docs/container.md; and as much as thumbnails take while they are made.
    const BOUND: u64 = (64 << 20) + (32 << 20);
    if !Container::is_the_process() {
        eprintln!("skipped: the memory of a container in an image cannot be looked at from here");
        return;
    }
    let (database, picture) = (demo_database().await, axum::body::Bytes::from(crate::dear::noise(1900)));
    let bucket = crate::memory::bucket(move |_| picture.clone()).await;
    let settings = [("AWS_ENDPOINT_URL_S3", bucket.as_str()), ("WRITE_TIMEOUT_MS", "600000")];
    let container = container(&database.endpoint(), settings).await;
    let mut other = Wire::open(container.address).await;
    let target = "/images/noise.png?w=1900&q=95&format=jpeg";
    let size = other.get(target).await.body.len() as u64;
    assert!(size >= LARGE, "{size} bytes");
    let before = container.peak_memory();
    let (mut many, mut served) = (Vec::new(), 0);
    for _ in 0..ANSWERS {
        many.push(deaf(&container, target, 1).await);
        served += usize::from(other.get(PRODUCT).await.status == 200);
    }
    let taken = container.peak_memory() - before;
    println!("{} MB for {ANSWERS} answers of {} MB; others got {served}", taken >> 20, size >> 20);
    assert!(size * ANSWERS > BOUND + BOUND / 4, "they would take more");
    assert!(taken <= BOUND, "{} MB", taken >> 20);
    assert!(served > 45, "others got {served} answers of {ANSWERS}");
}
