//! What a connection is doing, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use metrics::Gauge;
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::options::Options;

/// How old an answer may get when others have no room, and how often somebody looks.
const LOOK: Duration = Duration::from_secs(1);

/// Shared by a connection's socket, its requests and the loop that accepts connections.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Asks the connection to close: at once if it is idle, else after its answers.
    pub(super) close: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that are being handled, or their answers sent.
    handling: u32,
    /// When the answers were ready that are being sent, the oldest first.
    sending: Vec<Instant>,
    /// When something last began or ended.
    active: Instant,
    /// When the first byte of a head came that is not complete yet.
    head: Option<Instant>,
    /// Since when the client has not taken what was written.
    blocked: Option<Instant>,
    /// Since when nothing was written while answers wait: with HTTP/2 a client says how much it takes.
    unsent: Option<Instant>,
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
            sending: Vec::new(),
            active: Instant::now(),
            head: None,
            blocked: None,
            unsent: None,
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
        let mut state = self.state();
        state.blocked = None;
        state.unsent = (!state.sending.is_empty()).then(Instant::now);
    }

    /// A request has arrived. It is being handled, and counted, until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, count: &Gauge) -> Handling {
        count.increment(1.0);
        let mut state = self.state();
        state.handling += 1;
        state.head = None;
        state.unread = false;
        state.active = Instant::now();
        Handling { activity: Arc::clone(self), count: count.clone(), ready: None }
    }

    /// Whether a request is being handled, or its answer sent.
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
        let State { handling, active, head, blocked, closing, .. } = *self.state();
        (handling == 0 && head.is_none() && blocked.is_none() && closing.is_none()).then_some(active)
    }

    /// When the verdict will next be another one than [`Verdict::Fine`], should nothing happen until then.
    pub(super) fn deadline(&self, options: &Options) -> Instant {
        let due = self.due(options, false).into_iter().map(|(at, _)| at).min();
        let look = if self.state().sending.is_empty() { options.idle_timeout } else { LOOK };
        let look = Instant::now() + look;
        due.map_or(look, |due| due.min(look))
    }

    /// What has to happen now. `scarce` is whether there is no room for more unsent answers.
    pub(super) fn verdict(&self, options: &Options, scarce: bool) -> Verdict {
        let now = Instant::now();
        let due = self.due(options, scarce).into_iter().filter(|(at, _)| *at <= now);
        due.min().map_or(Verdict::Fine, |(_, verdict)| verdict)
    }

    fn due(&self, options: &Options, scarce: bool) -> impl IntoIterator<Item = (Instant, Verdict)> + use<> {
        let State { handling, active, head, blocked, unsent, closing, ref sending, .. } = *self.state();
        let after = |since: Option<Instant>, limit: Duration, verdict| since.map(|since| (since + limit, verdict));
        let rests = handling == 0;
        [
            after(head.filter(|_| rests), options.header_timeout, Verdict::SlowHead),
            after(blocked, options.write_timeout, Verdict::Drop),
            after(unsent, options.write_timeout, Verdict::Drop),
            after(sending.first().filter(|_| scarce).copied(), LOOK, Verdict::Drop),
            after(closing.filter(|_| rests), options.idle_timeout, Verdict::Drop),
            after(Some(active).filter(|_| rests && closing.is_none()), options.idle_timeout, Verdict::Close),
        ]
        .into_iter()
        .flatten()
    }
}

/// A request that is being handled, or its answer sent.
pub(super) struct Handling {
    activity: Arc<Activity>,
    count: Gauge,
    /// When its answer was.
    ready: Option<Instant>,
}

impl Handling {
    /// The answer is ready.
    pub(super) fn send(&mut self) {
        let mut state = self.activity.state();
        let now = Instant::now();
        state.sending.push(now);
        state.unsent.get_or_insert(now);
        self.ready = Some(now);
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.count.decrement(1.0);
        let mut state = self.activity.state();
        state.handling -= 1;
        if let Some(place) = state.sending.iter().position(|ready| Some(*ready) == self.ready) {
            state.sending.remove(place);
            state.unsent = state.unsent.filter(|_| !state.sending.is_empty());
        }
        state.active = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits without any patience but for those connections that do nothing.
    fn options() -> Options {
        Options { header_timeout: Duration::ZERO, write_timeout: Duration::ZERO, ..Options::default() }
    }

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new())
    }

    fn request(activity: &Arc<Activity>) -> Handling {
        activity.request(&Gauge::noop())
    }

    #[test]
    fn what_is_left_of_a_body_is_no_head() {
        let activity = activity();
        let first = request(&activity);
        activity.leave_unread();
        drop(first);
        activity.received();
        assert_eq!(activity.verdict(&options(), false), Verdict::Fine, "the rest of the body");
        assert!(activity.idle_since().is_some(), "it may be closed like any that rests");
        drop(request(&activity));
        activity.received();
        assert_eq!(
            activity.verdict(&options(), false),
            Verdict::SlowHead,
            "after the next request, a head is a head again"
        );
    }

    #[test]
    fn a_connection_is_idle_when_nothing_is_under_way() {
        let activity = activity();
        assert!(activity.idle_since().is_some());
        let handling = request(&activity);
        assert!(activity.idle_since().is_none(), "a request is being handled");
        drop(handling);
        activity.blocked();
        assert!(activity.idle_since().is_none(), "its client has not taken the answer");
        assert_eq!(activity.verdict(&options(), false), Verdict::Drop);
        activity.wrote();
        assert!(activity.idle_since().is_some());
        assert_eq!(activity.verdict(&options(), false), Verdict::Fine);
        activity.received();
        assert!(activity.idle_since().is_none(), "a head has begun");
    }

    #[test]
    fn an_answer_is_under_way_until_it_has_left() {
        let activity = activity();
        let mut handling = request(&activity);
        assert_eq!(activity.verdict(&options(), false), Verdict::Fine, "the handler has its own time");
        handling.send();
        assert_eq!(activity.verdict(&options(), false), Verdict::Drop, "the client takes nothing of it");
        let options = Options { write_timeout: Duration::from_mins(1), ..options() };
        assert!(activity.deadline(&options) <= Instant::now() + options.write_timeout);
        activity.wrote();
        assert!(activity.idle_since().is_none(), "there is more of it");
        drop(handling);
        assert!(activity.idle_since().is_some());
        assert_eq!(activity.verdict(&self::options(), false), Verdict::Fine);
    }

    #[test]
    fn an_answer_has_little_time_when_others_have_no_room() {
        let activity = activity();
        let options = Options { write_timeout: Duration::from_mins(1), ..options() };
        let mut handling = request(&activity);
        handling.send();
        assert!(activity.deadline(&options) <= Instant::now() + LOOK, "somebody looks");
        // As if it had been ready for that long.
        activity.state().sending[0] -= LOOK;
        handling.ready = handling.ready.map(|ready| ready - LOOK);
        activity.wrote();
        assert_eq!(activity.verdict(&options, false), Verdict::Fine);
        assert_eq!(activity.verdict(&options, true), Verdict::Drop);
        drop(handling);
        assert_eq!(activity.verdict(&options, true), Verdict::Fine);
    }
}
