//! Twice as much as a server can do: requests at fixed times, whatever becomes of those before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{Failure, stats::quantile};

/// From so many connections.
const CONNECTIONS: u32 = 512;

/// How long a health check waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// What has become of the requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From the first request until the last answer.
    pub(crate) took: Duration,
    /// Milliseconds of each that was answered with 200.
    pub(crate) admitted: Vec<f64>,
    /// How many were answered with 503.
    pub(crate) shed: usize,
    /// How many were answered with something else, or not at all.
    pub(crate) lost: usize,
    /// Milliseconds of each `GET /health` meanwhile.
    pub(crate) health: Vec<f64>,
    /// How many of these were not answered with 200.
    pub(crate) unhealthy: usize,
}

/// Sends `rate` requests a second for some time. `address` is host and port.
pub(crate) async fn run(address: &str, target: &str, rate: f64, time: Duration) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let end = start + time;
    let interval = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let mut tasks = Vec::new();
    for number in 0..CONNECTIONS {
        let mut client = Client::open(address, target).await?;
        let offset = interval.mul_f64(f64::from(number) / f64::from(CONNECTIONS));
        tasks.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            let mut next = Instant::now() + offset;
            while next < end {
                sleep_until(next).await;
                // Also when the one before has kept the connection: who waits for it does not care why.
                answers.push(client.ask(next).await);
                next += interval;
            }
            answers
        }));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (probing, probed) = (Arc::clone(&stop), address.to_owned());
    let health = tokio::spawn(async move {
        let mut answers = Vec::new();
        while !probing.load(Ordering::Relaxed) {
            answers.push(timeout(PATIENCE, probe(&probed)).await.unwrap_or_else(|_| Err("too late".into())));
            sleep(Duration::from_millis(20)).await;
        }
        answers
    });
    let mut outcome = Outcome::default();
    for task in tasks {
        for answer in task.await? {
            match answer {
                Ok((200, took)) => outcome.admitted.push(took),
                Ok((503, _)) => outcome.shed += 1,
                _ => outcome.lost += 1,
            }
        }
    }
    // What was sent later than it was due was offered in more time.
    outcome.took = start.elapsed().max(time);
    stop.store(true, Ordering::Relaxed);
    for answer in health.await? {
        match answer {
            Ok((200, took)) => outcome.health.push(took),
            _ => outcome.unhealthy += 1,
        }
    }
    Ok(outcome)
}

/// As a health check does: on a connection of its own.
async fn probe(address: &str) -> Result<(u16, f64), Failure> {
    let start = Instant::now();
    Client::open(address, "/health").await?.ask(start).await
}

impl Outcome {
    /// Milliseconds below which all but one in a hundred of the admitted were answered.
    pub(crate) fn p99(&self) -> f64 {
        quantile(&self.admitted, 0.99)
    }
}

/// One connection, which speaks just enough HTTP to cost little.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    async fn open(address: &str, target: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        Ok(Self { stream, request, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// The status, and the milliseconds until the answer was complete, since the request was due.
    async fn ask(&mut self, due: Instant) -> Result<(u16, f64), Failure> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        let (mut whole, mut status) = (None, 0);
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed".into());
            }
            if whole.is_none()
                && let Some(head) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n")
            {
                let text = std::str::from_utf8(&self.buffer[..head])?;
                status = text.split(' ').nth(1).ok_or("no status")?.parse()?;
                let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                whole = Some(head + 4 + length.ok_or("no length")?.parse::<usize>()?);
            }
        }
        Ok((status, due.elapsed().as_secs_f64() * 1e3))
    }
}
