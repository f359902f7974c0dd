//! What a connection is doing, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use metrics::Gauge;
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::options::Options;

/// Shared by a connection's socket, its requests and the loop that accepts connections.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Asks the connection to close: at once if it is idle, else after its answers.
    pub(super) close: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Requests that a handler is working on.
    handling: u32,
    /// When something last began or ended.
    active: Instant,
    /// When the first byte of a head came that is not complete yet.
    head: Option<Instant>,
    /// Since when the client has not taken what was written.
    blocked: Option<Instant>,
    /// Since when the connection is asked to close.
    closing: Option<Instant>,
    /// Whether the client might still be sending something that nobody will read.
    unread: bool,
    /// What the client is told at the end.
    farewell: Option<StatusCode>,
}

/// What has to happen to a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// It was idle for too long.
    Close,
    /// The head of a request takes too long: say so, and end.
    SlowHead,
    /// The client does not read, or does not let go.
    Drop,
}

impl Activity {
    pub(super) fn new() -> Self {
        let state = State {
            handling: 0,
            active: Instant::now(),
            head: None,
            blocked: None,
            closing: None,
            unread: false,
            farewell: None,
        };
        Self { state: Mutex::new(state), close: Notify::new() }
    }

    /// A panic while it is held leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come that may be the head of a request of HTTP/1, unless they are what is left of a body.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.handling == 0 && state.head.is_none() && !state.unread {
            state.head = Some(Instant::now());
        }
    }

    /// The client takes no more bytes.
    pub(super) fn blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// The client has taken bytes.
    pub(super) fn wrote(&self) {
        self.state().blocked = None;
    }

    /// A request has arrived. It is being handled, and counted, until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, count: &Gauge) -> Handling {
        count.increment(1.0);
        let mut state = self.state();
        state.handling += 1;
        state.head = None;
        state.unread = false;
        state.active = Instant::now();
        Handling { activity: Arc::clone(self), count: count.clone() }
    }

    /// Whether a handler is working on a request.
    pub(super) fn handles(&self) -> bool {
        self.state().handling > 0
    }

    /// A request's body was left unread.
    pub(super) fn leave_unread(&self) {
        self.state().unread = true;
    }

    /// Whether the client might still be sending something that nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.state().unread
    }

    /// The connection ends with this answer, to what is no request.
    pub(super) fn refuse(&self, status: StatusCode) {
        let mut state = self.state();
        state.unread = true;
        state.farewell = Some(status);
    }

    /// The answer that the connection ends with.
    pub(super) fn farewell(&self) -> Option<StatusCode> {
        self.state().farewell
    }

    /// The connection is asked to close.
    pub(super) fn closing(&self) {
        self.state().closing.get_or_insert_with(Instant::now);
    }

    /// Since when the connection has been idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.handling == 0 && state.head.is_none() && state.closing.is_none()).then_some(state.active)
    }

    /// When the verdict will next be another one than [`Verdict::Fine`], should nothing happen until then.
    pub(super) fn deadline(&self, options: &Options) -> Instant {
        let due = self.due(options);
        due.into_iter().map(|(at, _)| at).min().unwrap_or_else(|| Instant::now() + options.idle_timeout)
    }

    /// What has to happen now.
    pub(super) fn verdict(&self, options: &Options) -> Verdict {
        let now = Instant::now();
        let due = self.due(options).into_iter().filter(|(at, _)| *at <= now);
        due.min().map_or(Verdict::Fine, |(_, verdict)| verdict)
    }

    fn due(&self, options: &Options) -> impl IntoIterator<Item = (Instant, Verdict)> + use<> {
        let State { handling, active, head, blocked, closing, .. } = *self.state();
        let after = |since: Option<Instant>, limit: Duration, verdict| since.map(|since| (since + limit, verdict));
        let rests = handling == 0;
        [
            after(head.filter(|_| rests), options.header_timeout, Verdict::SlowHead),
            after(blocked, options.write_timeout, Verdict::Drop),
            after(closing.filter(|_| rests), options.idle_timeout, Verdict::Drop),
            after(Some(active).filter(|_| rests && closing.is_none()), options.idle_timeout, Verdict::Close),
        ]
        .into_iter()
        .flatten()
    }
}

/// A request that is being handled.
pub(super) struct Handling {
    activity: Arc<Activity>,
    count: Gauge,
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.count.decrement(1.0);
        let mut state = self.activity.state();
        state.handling -= 1;
        state.active = Instant::now();
    }
}
