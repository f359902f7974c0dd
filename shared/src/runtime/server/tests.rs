//! The server within this process.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, atomic::AtomicU64},
};

use axum::routing::get;
use http::header::CONNECTION;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::Notify,
};

use super::*;

fn shared(options: Options, service: Router) -> Arc<Shared> {
    Arc::new(Shared {
        options,
        service,
        protocol: connection::protocol(),
        refusals: Refusals { docs_url: "https://docs.example.com".into() },
        draining: Arc::default(),
        admission: Admission::new(&options),
        heads: Budget::new(HEADS),
        blocks: Arc::new(Semaphore::new(BLOCKS)),
        lingering: Arc::new(Semaphore::new(LINGERING as usize)),
        handling: Gauge::noop(),
        shed: Counter::noop(),
    })
}

#[tokio::test]
async fn only_a_lack_of_files_or_memory_makes_others_wait() {
    let mut connections = Connections::new(shared(Options::default(), Router::new()));
    for (code, waits) in [(103, false), (71, false), (24, true), (23, true), (12, true), (105, true)] {
        let start = Instant::now();
        connections.accept(Err(Error::from_raw_os_error(code))).await;
        assert_eq!(start.elapsed() >= BREATH, waits, "{code}");
    }
}

/// The listener is about to close, and resets whatever is not accepted.
#[test]
fn the_fault_of_one_connection_leaves_those_that_wait_behind_it() {
    const LIMIT: usize = 100;
    let of = |script: &[std::result::Result<u8, i32>]| {
        let mut script = script.iter().copied();
        let accept = || script.next().unwrap_or(Err(11)).map_err(Error::from_raw_os_error);
        let accepted: Vec<_> =
            waiting(LIMIT, accept).into_iter().map(|one| one.map_err(|error| error.raw_os_error())).collect();
        (accepted, script.count())
    };
    // ECONNABORTED and EPROTO, then nothing (EAGAIN) or no file (EMFILE).
    assert_eq!(
        of(&[Ok(1), Err(103), Ok(2), Err(71), Ok(3)]),
        (vec![Ok(1), Err(Some(103)), Ok(2), Err(Some(71)), Ok(3)], 0)
    );
    assert_eq!(of(&[Ok(1), Err(11), Ok(2)]), (vec![Ok(1)], 1), "nothing waits");
    assert_eq!(of(&[Ok(1), Err(24), Ok(2)]), (vec![Ok(1), Err(Some(24))], 1), "there is no room");
    assert_eq!(of(&[Err(103); LIMIT + 1]).1, 1, "it comes to its end whatever happens");
}

/// The system has accepted them, and nobody else has, when the listener closes.
#[tokio::test]
async fn connections_that_wait_are_answered_at_the_end() {
    let slow = get(async || sleep(Duration::from_millis(100)).await);
    let mut connections = Connections::new(shared(Options::default(), Router::new().route("/", slow)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
        client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
        clients.push(client);
    }
    connections.accept_last(listener);
    let end = tokio::spawn(connections.finish());
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    end.await.expect("the end");
}

/// A connection that is served, and its client, whose buffers are small.
async fn connection(shared: &Arc<Shared>) -> (TcpStream, Arc<Activity>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a size");
    let client = socket.connect(listener.local_addr().expect("bound")).await.expect("a connection");
    let (stream, peer) = listener.accept().await.expect("a connection");
    let activity = Arc::new(Activity::new(&shared.heads));
    tokio::spawn(connection::serve(Arc::clone(shared), stream, peer.ip(), Arc::clone(&activity), false));
    (client, activity)
}

/// Who looks at the metrics while the server drains sees the connections end.
#[tokio::test]
async fn connections_are_counted_down_at_the_end() {
    let (count, release) = (Arc::new(AtomicU64::default()), Arc::new(Notify::new()));
    let held = Arc::clone(&release);
    let service = Router::new().route("/", get(async move || held.notified().await));
    let mut connections = Connections::new(shared(Options::default(), service));
    connections.count = Gauge::from_arc(Arc::clone(&count));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut busy = TcpStream::connect(address).await.expect("a connection");
    let _idle = TcpStream::connect(address).await.expect("a connection");
    for _ in 0..2 {
        connections.accept(listener.accept().await).await;
    }
    let open = || f64::from_bits(count.load(Ordering::Relaxed));
    busy.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    while !connections.open.values().any(|open| open.activity.handles()) {
        sleep(Duration::from_millis(1)).await;
    }
    let end = tokio::spawn(connections.finish());
    timeout(Duration::from_secs(10), async {
        while open() > 1.0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the idle one has ended");
    release.notify_one();
    end.await.expect("the end");
    assert_eq!(open().to_bits(), 0, "{}", open());
}

/// It was asked to go just when a request came: the answer is the last, and says so.
#[tokio::test]
async fn an_answer_says_that_it_is_the_last() {
    let known: Arc<Mutex<Option<Arc<Activity>>>> = Arc::default();
    let asked = Arc::clone(&known);
    let ask = async move || {
        let asked = asked.lock().expect("whole").clone();
        asked.expect("a connection").ask(Wish::MakeRoom);
    };
    let (mut client, activity) = connection(&shared(Options::default(), Router::new().route("/", get(ask)))).await;
    *known.lock().expect("whole") = Some(activity);
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(CONNECTION.as_str()), "{answer}");
}

/// What the client has sent beyond it does not take the answer away.
#[tokio::test]
async fn the_last_answer_arrives_whatever_else_was_sent() {
    const LENGTH: usize = 300_000;
    let shared = shared(Options::default(), Router::new().route("/", get(async || "a".repeat(LENGTH))));
    shared.draining.store(true, Ordering::Relaxed);
    let (mut client, _) = connection(&shared).await;
    client.write_all("GET / HTTP/1.1\r\nhost: test\r\n\r\n".repeat(10_000).as_bytes()).await.expect("sent");
    // By then all of the answer is in the hands of the system, and the connection would be closed.
    sleep(Duration::from_millis(300)).await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and the end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.len() == LENGTH, "{} bytes after {head}", body.len());
}

/// Its own half of a head is enough when all others have taken the memory.
#[tokio::test]
async fn heads_have_only_so_much_memory() {
    let shared = shared(Options::default(), Router::new());
    let others = shared.heads.take(HEADS);
    let (mut client, _) = connection(&shared).await;
    client.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (mut client, _) = connection(&shared).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 404 "), "one that comes at once takes none: {answer}");
    drop(others);
    assert!(!shared.heads.is_spent(), "each gives back what it took");
}

/// What the system still has for a client that takes nothing goes with the connection.
#[tokio::test]
async fn a_client_that_is_given_up_is_reset() {
    let large = get(async || vec![0_u8; 16 * 1024 * 1024]);
    let (mut peer, activity) = connection(&shared(Options::default(), Router::new().route("/", large))).await;
    peer.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    peer.readable().await.expect("an answer");
    activity.ask(Wish::GiveUp);
    let (mut answer, mut whole) = (Vec::new(), 0);
    let error = loop {
        match peer.read_buf(&mut answer).await {
            Ok(0) => panic!("the end of {whole} bytes is like the end of an answer"),
            Ok(bytes) => whole += bytes,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn those_that_have_taken_the_least_go_first() {
    let mut connections = Connections::new(shared(Options::default(), Router::new()));
    let megabyte = 1024 * 1024;
    let mut open = Vec::new();
    for bytes in [megabyte, 40 * megabyte, megabyte / 1024, 20 * megabyte] {
        let activity = Arc::new(Activity::new(&connections.shared.heads));
        let mut handling = activity.request(&Gauge::noop());
        handling.send(bytes);
        let room = connections.shared.admission.room(bytes);
        let id = connections.tasks.spawn(async {}).id();
        connections.open.insert(id, Open { activity: Arc::clone(&activity), leaves: false });
        open.push((activity, handling, room));
    }
    let asked = || open.iter().map(|(activity, ..)| activity.is_asked()).collect::<Vec<_>>();
    connections.relieve();
    assert_eq!(asked(), [false; 4], "they have had no time");
    sleep(Duration::from_millis(1100)).await;
    connections.relieve();
    assert_eq!(asked(), [false, true, false, false], "one is enough");
}
