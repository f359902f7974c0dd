//! What a connection is doing, and since when.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use metrics::Gauge;
use tokio::{
    sync::{Notify, futures::Notified},
    time::{Duration, Instant},
};

use super::{
    budget::{Budget, Share},
    options::Options,
};

/// How old an answer may get when others have no room.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many answers that are older than that a client may have before it gets no others.
const BEHIND: usize = 16;
/// How long a connection may do nothing at the end of the server. A request that was sent before the client could know of
/// the end comes within it; its answer says that it is the last.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Shared by a connection's socket, its requests and the loop that accepts connections.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    asked: Notify,
    /// The bytes of all heads that are not complete.
    heads: Budget,
}

/// What a connection is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// To end soon, without losing a request.
    Finish,
    /// To end now, unless a request is being handled.
    MakeRoom,
    /// To end now, whatever is lost.
    GiveUp,
}

#[derive(Debug)]
struct State {
    /// Whether HTTP/2 is spoken.
    http2: bool,
    /// Requests that are being handled, or their answers sent.
    handling: u32,
    /// Whether all of the work is lost without its client.
    in_vain: bool,
    /// The answers that are being sent, the oldest first.
    sending: Vec<Sending>,
    /// How many there have been.
    sent: u64,
    /// When something last began or ended.
    active: Instant,
    /// The head that is not complete yet.
    head: Option<Head>,
    /// Since when the client has not taken what was written.
    blocked: Option<Instant>,
    /// What the connection is asked for, and since when.
    wish: Option<(Wish, Instant)>,
    /// Since when it is being closed.
    closing: Option<Instant>,
    /// Whether the client may still be sending a body, or what is no request at all.
    uploading: bool,
    /// How many bytes of that body are still to come, when it is known.
    body_left: Option<usize>,
    /// How it ends, once that is known.
    ending: Option<Ending>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an answer that says so.
    Last,
    /// With this answer, to what is no request.
    Refused(StatusCode),
    /// Without another byte: the client is not worth it.
    GivenUp,
}

/// An answer that is being sent.
#[derive(Debug)]
struct Sending {
    number: u64,
    /// When it was ready.
    ready: Instant,
    /// When something of it last left.
    progress: Instant,
    /// The memory that it takes.
    bytes: usize,
}

/// The beginning of a head of HTTP/1.
#[derive(Debug)]
struct Head {
    /// When its time began.
    since: Instant,
    bytes: Share,
    /// Whether there was no memory for it.
    too_much: bool,
}

/// What has to happen to a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// It was idle for too long.
    Close,
    /// The head of a request takes too long: say so, and end.
    Refuse(StatusCode),
    /// The client does not read, or does not let go.
    Drop,
}

impl Activity {
    pub(super) fn new(heads: &Budget) -> Self {
        let state = State {
            http2: false,
            handling: 0,
            in_vain: false,
            sending: Vec::new(),
            sent: 0,
            active: Instant::now(),
            head: None,
            blocked: None,
            wish: None,
            closing: None,
            uploading: false,
            body_left: None,
            ending: None,
        };
        Self { state: Mutex::new(state), asked: Notify::new(), heads: heads.clone() }
    }

    /// A panic while it is held leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes have come that are of a head of HTTP/1, unless they are of a body.
    pub(super) fn received(&self, bytes: usize) {
        let mut state = self.state();
        if state.uploading {
            state.body_left = state.body_left.map(|left| left.saturating_sub(bytes));
        } else {
            let new = || Head { since: Instant::now(), bytes: self.heads.take(0), too_much: false };
            let head = state.head.get_or_insert_with(new);
            head.bytes.grow(bytes);
            head.too_much |= self.heads.is_spent();
        }
    }

    /// All that has come was the preface of HTTP/2.
    pub(super) fn speaks_http2(&self) {
        let mut state = self.state();
        state.http2 = true;
        state.head = None;
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
        state.uploading = false;
        state.active = Instant::now();
        Handling { activity: Arc::clone(self), count: count.clone(), answer: None }
    }

    /// Whether a request is being handled, or its answer sent.
    pub(super) fn handles(&self) -> bool {
        self.state().handling > 0
    }

    /// Nobody needs what is being worked on, should the client be gone.
    pub(super) fn works_for_the_client_alone(&self) {
        self.state().in_vain = true;
    }

    /// Whether the work may end as soon as the client is gone.
    pub(super) fn may_be_in_vain(&self) -> bool {
        let state = self.state();
        state.in_vain && !state.uploading
    }

    /// The client may be sending what is no head: so many bytes, when it is known.
    pub(super) fn upload_begins(&self, bytes: Option<usize>) {
        let mut state = self.state();
        state.uploading = true;
        state.body_left = bytes;
    }

    /// How many bytes that are no head come next, when it is known that some do.
    pub(super) fn body_left(&self) -> Option<usize> {
        let state = self.state();
        state.body_left.filter(|left| state.uploading && *left > 0)
    }

    /// It was read to its end.
    pub(super) fn upload_ends(&self) {
        self.state().uploading = false;
    }

    /// Whether the client may be sending what nobody reads, once its request was answered.
    pub(super) fn uploads(&self) -> bool {
        self.state().uploading
    }

    /// It is known how the connection ends.
    pub(super) fn ends(&self, ending: Ending) {
        let mut state = self.state();
        state.uploading |= matches!(ending, Ending::Refused(_));
        state.ending = Some(ending);
    }

    /// How the connection ends, once that is known.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().ending
    }

    /// Whether the client may be sending what nobody reads any more.
    pub(super) fn may_be_sending(&self) -> bool {
        let state = self.state();
        state.uploading || state.ending == Some(Ending::Last) || (state.http2 && state.closing.is_some())
    }

    /// Asks the connection to end.
    pub(super) fn ask(&self, wish: Wish) {
        let mut state = self.state();
        if state.wish.is_none_or(|(known, _)| known < wish) {
            state.wish = Some((wish, Instant::now()));
        }
        drop(state);
        self.asked.notify_one();
    }

    /// Resolves when the connection is asked for something.
    pub(super) fn asked(&self) -> Notified<'_> {
        self.asked.notified()
    }

    /// Whether it was asked to end.
    pub(super) fn is_asked(&self) -> bool {
        self.state().wish.is_some()
    }

    /// The connection is being closed.
    pub(super) fn closing(&self) {
        self.state().closing.get_or_insert_with(Instant::now);
    }

    /// Since when there has been nothing to do for the connection: it is idle, or has waited for the rest of a head.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        let rests = state.handling == 0 && state.blocked.is_none() && state.closing.is_none();
        rests.then(|| state.head.as_ref().map_or(state.active, |head| head.since))
    }

    /// The memory of the answers that the client has not taken, when it has had time for it.
    pub(super) fn unsent(&self) -> Option<usize> {
        let state = self.state();
        state.sending.first().filter(|answer| answer.ready.elapsed() >= PATIENCE)?;
        Some(state.sending.iter().map(|answer| answer.bytes).sum())
    }

    /// Whether so many answers are not taken that there should be no others.
    pub(super) fn is_behind(&self) -> bool {
        self.state().sending.get(BEHIND - 1).is_some_and(|answer| answer.ready.elapsed() >= PATIENCE)
    }

    /// When the verdict will next be another one than [`Verdict::Fine`], should nothing happen until then.
    pub(super) fn deadline(&self, options: &Options) -> Instant {
        let due = self.state().due(options).map(|(at, _)| at).min();
        due.unwrap_or_else(|| Instant::now() + options.idle_timeout)
    }

    /// What has to happen now.
    pub(super) fn verdict(&self, options: &Options) -> Verdict {
        let now = Instant::now();
        let state = self.state();
        let due = state.due(options).filter(|(at, _)| *at <= now);
        due.min().map_or(Verdict::Fine, |(_, verdict)| verdict)
    }
}

impl State {
    /// What will have to happen, and when.
    fn due(&self, options: &Options) -> impl Iterator<Item = (Instant, Verdict)> + use<> {
        let rests = self.handling == 0;
        let wish = self.wish.map(|(wish, _)| wish);
        // What a wish asks for begins with it.
        let asked = self.wish.map_or(self.active, |(_, asked)| asked.max(self.active));
        let head = self.head.as_ref().filter(|_| rests).map(|head| match wish {
            Some(Wish::MakeRoom) => (head.since, Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
            _ if head.too_much => (head.since, Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
            _ => (head.since + options.header_timeout, Verdict::Refuse(StatusCode::REQUEST_TIMEOUT)),
        });
        // With HTTP/2 both sides know which requests are still answered.
        let (idle, idle_until) = match wish {
            None => (rests, self.active + options.idle_timeout),
            Some(_) if self.http2 => (true, asked),
            Some(Wish::Finish) => (rests, asked + LAST_CALL),
            Some(Wish::MakeRoom | Wish::GiveUp) => (rests, asked),
        };
        let idle = idle && self.head.is_none() && self.closing.is_none();
        // The oldest is not always the one that stands still.
        let still = self.sending.iter().map(|answer| answer.progress).min();
        let stands = [self.blocked, still, self.closing.filter(|_| rests).map(|since| since.max(self.active))];
        let stands = stands.map(|since| since.map(|since| (since + options.write_timeout, Verdict::Drop)));
        let given_up = (wish == Some(Wish::GiveUp)).then_some((asked, Verdict::Drop));
        let idle = idle.then_some((idle_until, Verdict::Close));
        [head, given_up, idle].into_iter().chain(stands).flatten()
    }

    fn answer(&mut self, number: u64) -> Option<&mut Sending> {
        self.sending.iter_mut().find(|answer| answer.number == number)
    }
}

/// A request that is being handled, or its answer sent.
#[derive(Debug)]
pub(super) struct Handling {
    activity: Arc<Activity>,
    count: Gauge,
    /// The number of its answer.
    answer: Option<u64>,
}

impl Handling {
    /// The answer is ready. It takes so much memory until it has left.
    pub(super) fn send(&mut self, bytes: usize) {
        let mut state = self.activity.state();
        let (now, number) = (Instant::now(), state.sent);
        state.sent += 1;
        state.in_vain = false;
        state.sending.push(Sending { number, ready: now, progress: now, bytes });
        self.answer = Some(number);
    }

    /// Something of the answer has left.
    pub(super) fn progress(&self) {
        let mut state = self.activity.state();
        if let Some(answer) = self.answer.and_then(|number| state.answer(number)) {
            answer.progress = Instant::now();
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.handling -= 1;
        state.in_vain = false;
        state.sending.retain(|answer| Some(answer.number) != self.answer);
        state.active = Instant::now();
        let active = state.active;
        // It had to wait until now.
        if let Some(head) = &mut state.head {
            head.since = active;
        }
        drop(state);
        // Last: whoever reads that there is no request may rely on the rest.
        self.count.decrement(1.0);
    }
}
