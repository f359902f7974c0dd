//! TCP connections -> router.

mod activity;
mod admission;
mod answer;
mod body;
mod budget;
mod connection;
mod framing;
mod health;
mod io;
mod options;
mod refusal;

use std::{
    cmp::Reverse,
    collections::HashMap,
    future::Future,
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::Router;
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use metrics::{Counter, Gauge};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{Id, JoinSet},
    time::{Interval, MissedTickBehavior, interval, sleep, timeout},
};

pub(super) use self::health::healthcheck;
pub use self::options::Options;
use self::{
    activity::{Activity, Wish},
    admission::Admission,
    budget::Budget,
    refusal::Refusals,
};
use super::App;
use crate::telemetry::metrics as telemetry;

/// Memory of heads that are not complete, in bytes.
const HEADS: usize = 64 * 1024 * 1024;
/// How many heads of HTTP/2 may go beyond their first frame and not be complete. One takes up to 0.4 MB, whatever it was
/// compressed to.
const BLOCKS: usize = 128;
/// How many sockets may wait for clients to read what they were told at the end.
const LINGERING: u32 = 128;
/// How long to wait when the system has no more files or memory for a connection.
const BREATH: Duration = Duration::from_millis(50);
/// How often the log says that connections are turned away, or cannot be accepted.
const REMINDER: Duration = Duration::from_secs(1);
/// How often somebody looks whether clients leave enough room for answers.
const LOOK: Duration = Duration::from_millis(250);
/// What Linux says when it has no file, memory or buffer for a connection: ENOMEM, ENFILE, EMFILE, ENOBUFS.
const EXHAUSTED: [i32; 4] = [12, 23, 24, 105];

/// A server, its limits, and whether it is about to stop.
#[derive(Clone, Debug)]
pub struct Server {
    options: Options,
    refusals: Refusals,
    draining: Arc<AtomicBool>,
}

/// What all connections of a server share.
struct Shared {
    options: Options,
    service: Router,
    protocol: auto::Builder<TokioExecutor>,
    refusals: Refusals,
    draining: Arc<AtomicBool>,
    admission: Admission,
    heads: Budget,
    /// Places for heads of HTTP/2 that are not complete.
    blocks: Arc<Semaphore>,
    /// Places for sockets that outlive their connection.
    lingering: Arc<Semaphore>,
    handling: Gauge,
    shed: Counter,
}

impl Server {
    /// A server with these limits. `docs_url` is the base of the links in error bodies.
    pub fn new(options: Options, docs_url: Arc<str>) -> Self {
        Self { options, refusals: Refusals { docs_url }, draining: Arc::default() }
    }

    /// `GET /health/ready`: 200 while requests should come here, 503 once the server is to stop or while the store does
    /// not answer.
    pub fn readiness(&self, app: &App) -> Router {
        health::ready(app.clone(), Arc::clone(&self.draining))
    }

    /// Serves connections until `shutdown` resolves. Then readiness fails while requests are still served for
    /// `drain_delay`; then nothing new is accepted and what is in flight finishes, within `drain_timeout`.
    pub async fn serve(&self, listener: TcpListener, service: Router, shutdown: impl Future<Output = ()> + Send) {
        let shared = Arc::new(Shared {
            options: self.options,
            service,
            protocol: connection::protocol(),
            refusals: self.refusals.clone(),
            draining: Arc::clone(&self.draining),
            admission: Admission::new(&self.options),
            heads: Budget::new(HEADS),
            blocks: Arc::new(Semaphore::new(BLOCKS)),
            lingering: Arc::new(Semaphore::new(LINGERING as usize)),
            handling: telemetry::in_flight(),
            shed: telemetry::shed(),
        });
        let mut connections = Connections::new(shared);
        connections.accept_until(&listener, shutdown).await;

        self.draining.store(true, Ordering::Relaxed);
        let delay = self.options.drain_delay;
        tracing::info!(connections = connections.tasks.len(), ?delay, "draining");
        connections.accept_until(&listener, sleep(delay)).await;
        connections.accept_last(listener);
        connections.finish().await;
    }
}

/// The open connections.
struct Connections {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    open: HashMap<Id, Open>,
    /// How many there may be.
    limit: usize,
    count: Gauge,
    turned_away: Counter,
    /// When the log last said that some were turned away, or could not be accepted.
    told: Option<Instant>,
    /// When to look for clients that take nothing.
    look: Interval,
}

/// One of them.
struct Open {
    activity: Arc<Activity>,
    /// Whether it was asked to make room.
    leaves: bool,
}

impl Connections {
    fn new(shared: Arc<Shared>) -> Self {
        let limit = shared.options.max_connections;
        let (count, turned_away) = (telemetry::connections(), telemetry::refused());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { shared, tasks: JoinSet::new(), open: HashMap::new(), limit, count, turned_away, told: None, look }
    }

    /// Accepts connections until `end` resolves.
    async fn accept_until(&mut self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
                _ = self.look.tick() => self.relieve(),
                accepted = listener.accept() => self.accept(accepted).await,
            }
        }
    }

    /// Accepts what the system has accepted already, and nothing after that: a listener that is dropped resets what waits.
    fn accept_last(&mut self, listener: TcpListener) {
        // Ready to be dropped at once, so that nothing comes between.
        let Ok(listener) = listener.into_std() else { return };
        let waiting = waiting(self.limit, || listener.accept());
        drop(listener);
        for accepted in waiting {
            let stream = accepted.and_then(|(stream, peer)| {
                stream.set_nonblocking(true)?;
                Ok((TcpStream::from_std(stream)?, peer))
            });
            match stream {
                Ok((stream, peer)) => self.start(stream, peer),
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            }
        }
    }

    async fn accept(&mut self, accepted: Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => self.start(stream, peer),
            Err(error) => {
                if self.may_tell() {
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                // Anything else is the fault of that connection alone.
                if is_exhausted(&error) {
                    self.make_room();
                    sleep(BREATH).await;
                }
            }
        }
    }

    fn start(&mut self, stream: TcpStream, peer: SocketAddr) {
        let crowded = self.tasks.len() >= self.limit && !self.make_room();
        // Also when room is being made: those that leave may take their time.
        let local = if peer.ip().is_loopback() { options::LOCAL } else { 0 };
        if self.tasks.len() >= self.limit + options::surplus(self.limit) + local {
            return self.turn_away();
        }
        // Small answers must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let activity = Arc::new(Activity::new(&self.shared.heads));
        let serve = connection::serve(Arc::clone(&self.shared), stream, peer.ip(), Arc::clone(&activity), crowded);
        let task = self.tasks.spawn(serve);
        self.open.insert(task.id(), Open { activity, leaves: false });
        // Two servers of a process count together.
        self.count.increment(1.0);
    }

    /// There is not even room to say that there is none.
    fn turn_away(&mut self) {
        self.turned_away.increment(1);
        if self.may_tell() {
            tracing::warn!(connections = self.tasks.len(), "new connections are closed without an answer");
        }
    }

    /// Whether the log has been quiet for long enough.
    fn may_tell(&mut self) -> bool {
        let may = self.told.is_none_or(|told| told.elapsed() >= REMINDER);
        if may {
            self.told = Some(Instant::now());
        }
        may
    }

    /// Gives up those clients that have not taken the most, when there is little room for more answers.
    fn relieve(&self) {
        let mut excess = self.shared.admission.excess();
        if excess == 0 {
            return;
        }
        let unsent = self.open.values().filter_map(|open| Some((open.activity.unsent()?, &open.activity)));
        let mut heaviest: Vec<_> = unsent.collect();
        heaviest.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        for (bytes, activity) in heaviest {
            if excess == 0 {
                return;
            }
            activity.ask(Wish::GiveUp);
            excess = excess.saturating_sub(bytes);
        }
    }

    /// Asks those connections to close that have been idle, or in the middle of a head, for longest, unless enough of them
    /// are closing already; one in 64, so that a flood of new ones does not look through all of them each time. Says
    /// whether there will be room.
    fn make_room(&mut self) -> bool {
        let needed = (self.tasks.len() + 1).saturating_sub(self.limit).max(1);
        let closing = self.open.values().filter(|open| open.leaves && !open.activity.handles()).count();
        if closing >= needed {
            return true;
        }
        let others = self.open.values_mut().filter(|open| !open.leaves);
        let mut waiting: Vec<_> = others.filter_map(|open| Some((open.activity.waits_since()?, open))).collect();
        let Some(last) = waiting.len().checked_sub(1) else { return false };
        let oldest = last / 64;
        waiting.select_nth_unstable_by_key(oldest, |(since, _)| *since);
        for (_, open) in &mut waiting[..=oldest] {
            open.leaves = true;
            open.activity.ask(Wish::MakeRoom);
        }
        true
    }

    fn forget(&mut self, ended: std::result::Result<(Id, ()), tokio::task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
        self.count.decrement(1.0);
    }

    /// Lets what is in flight finish, and what was refused last arrive.
    async fn finish(mut self) {
        for open in self.open.values() {
            open.activity.ask(Wish::Finish);
        }
        let limit = self.shared.options.drain_timeout;
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.forget(ended);
            }
            self.shared.lingering.acquire_many(LINGERING).await.is_ok()
        };
        // What only lingers was answered.
        if timeout(limit, all).await.is_err() && !self.tasks.is_empty() {
            tracing::warn!(
                connections = self.tasks.len(),
                "connections were cut: they took longer than DRAIN_TIMEOUT_MS"
            );
        }
        tracing::info!("stopped");
    }
}

/// What waits to be accepted, one connection after the other: the fault of one is not that of the next. So many at most,
/// faults included.
fn waiting<T>(limit: usize, mut accept: impl FnMut() -> Result<T>) -> Vec<Result<T>> {
    let mut waiting = Vec::new();
    while waiting.len() < limit {
        match accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if is_exhausted(&error) => {
                waiting.push(Err(error));
                break;
            }
            accepted => waiting.push(accepted),
        }
    }
    waiting
}

/// Whether the system has no room for a connection.
fn is_exhausted(error: &Error) -> bool {
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

#[cfg(test)]
mod tests;
