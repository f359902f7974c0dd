//! What is written around the end of a server: what was acknowledged is there.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;
use tests::{container::Container, server::demo_database};
use tokio::{sync::Mutex, time::sleep};

use crate::{
    container,
    dear::noise,
    frames::{ACK, Frames, GOAWAY, HEADERS, PING, WINDOW_UPDATE, get},
    memory::bucket,
    overload::PRODUCT,
    wire::{Answer, PATIENCE, Wire},
};

const WRITERS: usize = 16;
const MANY: (&str, &str) = ("RATE_LIMIT_FREE", "1000000");

/// The orders that were acknowledged: whose, and where.
type Known = Arc<Mutex<Vec<(usize, String)>>>;

/// The token of a user. Each writer is one, so that they do not wait for each other.
fn token(user: usize) -> String {
    dev::token::issue(&format!("user-{user}").parse().unwrap(), None)
}

/// The bytes of a request that makes an order.
fn order(user: usize, method: &str, target: &str) -> String {
    let mut body = json!({ "items": [{ "productId": "p-0001", "quantity": 2 }] });
    if method == "PUT" {
        body["version"] = json!(0);
    }
    let (token, body) = (token(user), body.to_string());
    let head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n");
    format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Where the order is that was made.
fn place(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/api/v2/orders/{}", answer.json()["id"].as_str().expect("an id"))
}

/// Writes until no connection is to be had, or until an answer does not come, if that `may` be.
async fn writer(address: SocketAddr, number: usize, known: Known, may_be_cut: bool) {
    let mut wire = None;
    for count in 0.. {
        let mut open = match wire.take() {
            Some(open) => open,
            None => match Wire::try_open(address).await {
                Ok(open) => open,
                Err(_) => return,
            },
        };
        let put = format!("/api/v2/orders/{number}-{count}");
        let (method, target) = if count % 2 == 0 { ("PUT", put.as_str()) } else { ("POST", "/api/v2/orders") };
        let sent = open.write(order(number, method, target)).await;
        let answer = match sent {
            Ok(()) => open.try_read().await,
            Err(error) => Err(error),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) if may_be_cut => return,
            Err(error) => panic!("a request was lost: {error}"),
        };
        // A busy store may refuse it.
        if answer.status != 503 {
            known.lock().await.push((number, place(&answer)));
        }
        if !answer.closes() {
            wire = Some(open);
        }
    }
}

/// Writers that write all the time, and what they know. There are some orders already.
async fn writers(address: SocketAddr, may_be_cut: bool) -> (Vec<tokio::task::JoinHandle<()>>, Known) {
    let known = Known::default();
    let writer = |number| tokio::spawn(writer(address, number, Arc::clone(&known), may_be_cut));
    let writers = (0..WRITERS).map(writer).collect();
    let start = std::time::Instant::now();
    while known.lock().await.len() < 10 * WRITERS {
        assert!(start.elapsed() < PATIENCE, "too slow");
        sleep(Duration::from_millis(10)).await;
    }
    (writers, known)
}

async fn all_are_there(address: SocketAddr, known: &Known) {
    let mut wire = Wire::open(address).await;
    let known = known.lock().await;
    for (user, target) in known.iter() {
        let token = token(*user);
        let get = format!("GET {target} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n");
        wire.write(get).await.unwrap();
        assert_eq!(wire.read().await.status, 200, "{target}");
    }
    println!("{} orders", known.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_lost_when_the_server_is_stopped() {
    let database = demo_database().await;
    let mut first = container(&database.endpoint(), [MANY, ("DRAIN_DELAY_MS", "300")]).await;
    let (writers, known) = writers(first.address, false).await;
    first.signal("TERM").await;
    for writer in writers {
        writer.await.expect("a writer lost a request");
    }
    assert!(first.ended().await.success());
    let second = container(&database.endpoint(), [MANY]).await;
    all_are_there(second.address, &known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_that_was_acknowledged_is_lost_by_a_kill() {
    if !Container::is_the_process() {
        println!("skipped: SIGKILL would reach only what runs the container");
        return;
    }
    let database = demo_database().await;
    let mut first = container(&database.endpoint(), [MANY]).await;
    let address = first.address;
    let (writers, known) = writers(address, true).await;
    first.signal("KILL").await;
    assert!(!first.ended().await.success());
    for writer in writers {
        writer.await.unwrap();
    }
    let port = address.port().to_string();
    let second = container(&database.endpoint(), [MANY, ("PORT", port.as_str())]).await;
    assert_eq!(second.address, address);
    all_are_there(address, &known).await;
}

/// A client of HTTP/2 that asks all the time, ten questions at once, until it is told to go. Says how many it asked.
async fn asks_until_it_is_told(address: SocketAddr) -> u32 {
    let (mut client, mut asked, mut answered, mut told) = (Frames::open(address, 1 << 20).await, 0, 0, false);
    loop {
        while !told && asked < answered + 10 {
            client.write(&get(2 * asked + 1, "/health")).await.unwrap();
            asked += 1;
        }
        let Some(frame) = client.next().await else { break };
        match frame.kind {
            GOAWAY => told = true,
            PING if frame.flags & ACK == 0 => client.send(PING, ACK, 0, &frame.payload).await,
            HEADERS => answered += 1,
            // So that the window of the whole connection stays open.
            0 if !frame.payload.is_empty() => {
                let taken = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
                client.write(&crate::frames::frame(WINDOW_UPDATE, 0, 0, &taken)).await.unwrap();
            }
            _ => {}
        }
    }
    assert!(told, "it is cut");
    assert_eq!(asked, answered, "a question was lost");
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_http2_is_lost_when_the_server_is_stopped() {
    let database = demo_database().await;
    let mut container = container(&database.endpoint(), [("DRAIN_DELAY_MS", "300")]).await;
    let clients: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(asks_until_it_is_told(container.address))).collect();
    sleep(Duration::from_secs(1)).await;
    container.signal("TERM").await;
    for client in clients {
        assert!(client.await.expect("a client lost a request") > 10);
    }
    assert!(container.ended().await.success());
}

/// Begun before the end, finished after it: the answer whose client is slow, and the request whose client is slow.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_slow_is_finished() {
    let (database, picture) = (demo_database().await, axum::body::Bytes::from(noise(1900)));
    let bucket = bucket(move |_| picture.clone()).await;
    let settings = [
        ("AWS_ENDPOINT_URL_S3", bucket.as_str()),
        ("DRAIN_DELAY_MS", "0"),
        ("BODY_TIMEOUT_MS", "20000"),
        // For each piece of the answer, not for all of it.
        ("WRITE_TIMEOUT_MS", "3000"),
    ];
    let mut container = container(&database.endpoint(), settings).await;
    let mut reader = Wire::open_small(container.address).await;
    reader.write("GET /images/noise.png?w=1900&q=95&format=jpeg HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(reader.read_bytes(1).await.unwrap()[0]));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let length: usize = length.parse().unwrap();
    let mut writer = Wire::open(container.address).await;
    let order = order(1, "POST", "/api/v2/orders");
    let (begin, rest) = order.split_at(order.len() - 10);
    writer.write(begin).await.unwrap();
    sleep(Duration::from_millis(200)).await;

    container.signal("TERM").await;
    container.logged(|line| line["message"] == "draining").await;
    for _ in 0..40 {
        reader.read_bytes(length / 40).await.expect("the answer is whole");
        sleep(Duration::from_millis(100)).await;
    }
    reader.read_bytes(length % 40).await.expect("the answer is whole");
    reader.ends().await;
    writer.write(rest).await.unwrap();
    let answer = writer.read().await;
    place(&answer);
    assert!(answer.closes());
    assert!(container.ended().await.success());
}

/// Names are resolved too where there is no file that says how.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_may_have_a_name() {
    let database = demo_database().await;
    let named = database.endpoint().replace("127.0.0.1", "localhost");
    assert!(named.contains("localhost"));
    let container = container(&named, []).await;
    assert_eq!(Wire::open(container.address).await.get(PRODUCT).await.status, 200);
}
