//! What a connection is doing, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use metrics::Gauge;
use tokio::{
    sync::{Notify, futures::Notified},
    time::{Duration, Instant},
};

use super::options::Options;

/// How old an answer may get when others have no room, and how often somebody looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a connection may do nothing at the end of the server. A request that was sent before the client could know of
/// the end comes within it; its answer says that it is the last.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Shared by a connection's socket, its requests and the loop that accepts connections.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    asked: Notify,
}

/// What a connection is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// To end soon, without losing a request.
    Finish,
    /// To end now, unless a request is being handled.
    MakeRoom,
}

#[derive(Debug)]
struct State {
    /// Whether HTTP/2 is spoken.
    http2: bool,
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
    /// What the connection is asked for.
    wish: Option<Wish>,
    /// Since when it is being closed.
    closing: Option<Instant>,
    /// Whether the client may still be sending a body, or what is no request at all.
    uploading: bool,
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
    Refuse(StatusCode),
    /// The client does not read, or does not let go.
    Drop,
}

impl Activity {
    pub(super) fn new() -> Self {
        let state = State {
            http2: false,
            handling: 0,
            sending: Vec::new(),
            active: Instant::now(),
            head: None,
            blocked: None,
            unsent: None,
            wish: None,
            closing: None,
            uploading: false,
            farewell: None,
        };
        Self { state: Mutex::new(state), asked: Notify::new() }
    }

    /// A panic while it is held leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come that are of a head of HTTP/1, unless they are of a body.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if !state.uploading {
            state.head.get_or_insert_with(Instant::now);
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
        state.uploading = false;
        state.active = Instant::now();
        Handling { activity: Arc::clone(self), count: count.clone(), ready: None }
    }

    /// Whether a request is being handled, or its answer sent.
    pub(super) fn handles(&self) -> bool {
        self.state().handling > 0
    }

    /// The client may be sending what is no head.
    pub(super) fn upload_begins(&self) {
        self.state().uploading = true;
    }

    /// It was read to its end.
    pub(super) fn upload_ends(&self) {
        self.state().uploading = false;
    }

    /// Whether the client may be sending what nobody reads, once its request was answered.
    pub(super) fn uploads(&self) -> bool {
        self.state().uploading
    }

    /// The connection ends with this answer, to what is no request.
    pub(super) fn refuse(&self, status: StatusCode) {
        let mut state = self.state();
        state.uploading = true;
        state.farewell = Some(status);
    }

    /// The answer that the connection ends with.
    pub(super) fn farewell(&self) -> Option<StatusCode> {
        self.state().farewell
    }

    /// Asks the connection to end.
    pub(super) fn ask(&self, wish: Wish) {
        let mut state = self.state();
        state.wish = state.wish.max(Some(wish));
        drop(state);
        self.asked.notify_one();
    }

    /// Resolves when the connection is asked for something.
    pub(super) fn asked(&self) -> Notified<'_> {
        self.asked.notified()
    }

    /// The connection is being closed.
    pub(super) fn closing(&self) {
        self.state().closing.get_or_insert_with(Instant::now);
    }

    /// Since when there has been nothing to do for the connection: it is idle, or has waited for the rest of a head.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let State { handling, active, head, blocked, closing, .. } = *self.state();
        (handling == 0 && blocked.is_none() && closing.is_none()).then_some(head.unwrap_or(active))
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
        let State { http2, handling, active, head, blocked, unsent, wish, closing, ref sending, .. } = *self.state();
        let after = |since: Option<Instant>, limit: Duration, verdict| since.map(|since| (since + limit, verdict));
        let rests = handling == 0;
        let (head_limit, refusal) = match wish {
            Some(Wish::MakeRoom) => (Duration::ZERO, StatusCode::SERVICE_UNAVAILABLE),
            _ => (options.header_timeout, StatusCode::REQUEST_TIMEOUT),
        };
        // With HTTP/2 both sides know which requests are still answered.
        let (idle, idle_limit) = match wish {
            None => (rests, options.idle_timeout),
            Some(_) if http2 => (true, Duration::ZERO),
            Some(Wish::Finish) => (rests, LAST_CALL),
            Some(Wish::MakeRoom) => (rests, Duration::ZERO),
        };
        let idle = idle && head.is_none() && closing.is_none();
        [
            after(head.filter(|_| rests), head_limit, Verdict::Refuse(refusal)),
            after(blocked, options.write_timeout, Verdict::Drop),
            after(unsent, options.write_timeout, Verdict::Drop),
            after(sending.first().filter(|_| scarce).copied(), LOOK, Verdict::Drop),
            after(closing.filter(|_| rests), options.write_timeout, Verdict::Drop),
            after(Some(active).filter(|_| idle), idle_limit, Verdict::Close),
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
        // It had to wait until now.
        state.head = state.head.map(|_| state.active);
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

    const TOO_SLOW: Verdict = Verdict::Refuse(StatusCode::REQUEST_TIMEOUT);

    #[test]
    fn what_is_left_of_a_body_is_no_head() {
        let activity = activity();
        let first = request(&activity);
        activity.upload_begins();
        drop(first);
        activity.received();
        assert_eq!(activity.verdict(&options(), false), Verdict::Fine, "the rest of the body");
        assert!(activity.waits_since().is_some(), "it may be closed like any that rests");
        activity.upload_ends();
        activity.received();
        assert_eq!(activity.verdict(&options(), false), TOO_SLOW, "after the end of the body");
    }

    #[test]
    fn the_next_head_has_its_own_time() {
        let activity = activity();
        let first = request(&activity);
        activity.received();
        assert_eq!(activity.verdict(&options(), false), Verdict::Fine, "the first request comes first");
        drop(first);
        assert_eq!(activity.verdict(&options(), false), TOO_SLOW);
        let options = Options { header_timeout: Duration::from_mins(1), ..options() };
        assert!(activity.deadline(&options) > Instant::now() + options.header_timeout / 2, "from the end of the first");
        activity.speaks_http2();
        assert_eq!(activity.verdict(&self::options(), false), Verdict::Fine, "HTTP/2 has no such head");
    }

    #[test]
    fn a_connection_waits_when_nothing_is_under_way() {
        let activity = activity();
        assert!(activity.waits_since().is_some());
        let handling = request(&activity);
        assert!(activity.waits_since().is_none(), "a request is being handled");
        drop(handling);
        activity.blocked();
        assert!(activity.waits_since().is_none(), "its client has not taken the answer");
        assert_eq!(activity.verdict(&options(), false), Verdict::Drop);
        activity.wrote();
        let since = activity.waits_since();
        assert!(since.is_some());
        assert_eq!(activity.verdict(&options(), false), Verdict::Fine);
        activity.received();
        assert!(activity.waits_since() > since, "for the rest of a head");
    }

    #[test]
    fn a_connection_ends_as_it_is_asked_to() {
        let patient = Options::default();
        let (fresh, http2, head) = (activity(), activity(), activity());
        http2.speaks_http2();
        let _handling = request(&http2);
        head.received();
        for activity in [&fresh, &http2, &head] {
            assert_eq!(activity.verdict(&patient, false), Verdict::Fine);
            activity.ask(Wish::Finish);
        }
        assert_eq!(fresh.verdict(&patient, false), Verdict::Fine, "a request may be on its way");
        assert!(fresh.deadline(&patient) <= Instant::now() + LAST_CALL);
        assert_eq!(http2.verdict(&patient, false), Verdict::Close, "it is told, and finishes what it has begun");
        assert_eq!(head.verdict(&patient, false), Verdict::Fine, "the rest of the head is on its way");
        for activity in [&fresh, &http2, &head] {
            activity.ask(Wish::MakeRoom);
            activity.ask(Wish::Finish);
        }
        assert_eq!(fresh.verdict(&patient, false), Verdict::Close);
        assert_eq!(head.verdict(&patient, false), Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE));
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
        assert!(activity.waits_since().is_none(), "there is more of it");
        drop(handling);
        assert!(activity.waits_since().is_some());
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
