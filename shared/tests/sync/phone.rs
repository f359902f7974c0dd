//! A client that syncs, and checks each page against what the server really had.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use shared::{
    ApiError, Code,
    delta::{ChangeLog, Delta, Position, Retention, SyncRequest, Tokens},
};

use crate::{
    note::Note,
    world::{Adversary, LAG, SKEW, World},
};

pub(crate) const RETENTION: SignedDuration = SignedDuration::from_mins(10);
pub(crate) const SCOPE: &str = "U#a";
const VIEW: &str = "v2:detail";

pub(crate) struct Phone {
    store: Adversary,
    notes: ChangeLog<Note, Adversary>,
    tokens: Tokens,
    limit: u16,
    rows: BTreeMap<String, (u64, String)>,
    /// The ids of a full sync that is under way.
    seen: Option<BTreeSet<String>>,
    token: Option<String>,
    /// The epoch and the seq of the last token that names one.
    last: Option<(String, u64)>,
}

/// The change log as an instance of the service has it.
pub(crate) fn notes(store: &Adversary) -> ChangeLog<Note, Adversary> {
    ChangeLog::on(store.clone()).keeping(Retention::of(RETENTION.unsigned_abs()))
}

/// The service's side of `GET …/delta`.
async fn delta(
    notes: &ChangeLog<Note, Adversary>,
    tokens: &Tokens,
    scope: &str,
    since: Option<&str>,
    limit: u16,
    view: &str,
) -> Result<(Delta<Note>, String), ApiError> {
    let since = since.map(|token| tokens.open(scope, token)).transpose()?;
    let page = notes.changes(scope, &SyncRequest { since, limit, view: view.to_owned() }).await?;
    let token = tokens.seal(scope, &page.bookmark)?;
    Ok((page, token))
}

impl Phone {
    pub(crate) fn new(store: &Adversary) -> Self {
        let store = store.with_another_clock();
        let limit = store.world().rng.u16(1..6);
        let notes = notes(&store);
        let tokens = Tokens::new(["the secret of these tests, long enough"]).expect("a secret");
        Self { store, notes, tokens, limit, rows: BTreeMap::new(), seen: None, token: None, last: None }
    }

    /// As after a new installation.
    fn forget(&mut self) {
        (self.token, self.seen, self.last) = (None, None, None);
        self.rows.clear();
    }

    /// Syncs now and then, sometimes in the middle of a sync, sometimes from the start.
    pub(crate) async fn live(&mut self) {
        let steps = self.store.world().rng.usize(2..12);
        for _ in 0..steps {
            if self.store.world().rng.f64() < 0.05 {
                self.forget();
            }
            self.refused_tokens().await;
            let _ = self.step().await;
            self.store.others().await;
        }
    }

    /// Syncs until there is nothing more.
    pub(crate) async fn catch_up(&mut self) {
        for _ in 0..10_000 {
            match self.step().await {
                Ok(false) => return,
                Ok(true) => {}
                Err(code) => assert_ne!(code, Code::Unavailable, "nothing is under way, but a gap is waited for"),
            }
        }
        panic!("a sync that never ends");
    }

    /// One page. Says whether there is more.
    async fn step(&mut self) -> Result<bool, Code> {
        let since = self.token.clone();
        match delta(&self.notes, &self.tokens, SCOPE, since.as_deref(), self.limit, VIEW).await {
            Ok((page, token)) => {
                let more = page.has_more;
                self.take(page, token);
                Ok(more)
            }
            Err(error) => {
                self.check_refusal(&error);
                if error.code() == Code::SyncTokenExpired {
                    (self.token, self.seen, self.last) = (None, None, None);
                }
                Err(error.code())
            }
        }
    }

    /// What the documentation tells a client to do.
    fn take(&mut self, page: Delta<Note>, token: String) {
        let ids: BTreeSet<_> = page.items.iter().map(|item| item.id.to_string()).collect();
        assert_eq!(ids.len(), page.items.len(), "an id comes once a page");
        if self.token.is_none() {
            self.seen = Some(BTreeSet::new());
        }
        assert_eq!(page.full_sync, self.seen.is_some(), "a full sync says so on each of its pages");
        for item in page.items {
            let id = item.id.to_string();
            if let Some(seen) = &mut self.seen {
                let _ = if item.value.is_some() { seen.insert(id.clone()) } else { seen.remove(&id) };
            }
            match item.value {
                Some(note) => self.rows.insert(id, (item.version, note.text)),
                None => self.rows.remove(&id),
            };
        }
        if !page.has_more
            && let Some(seen) = self.seen.take()
        {
            self.rows.retain(|id, _| seen.contains(id));
        }
        let epoch = page.bookmark.epoch;
        let seq = match page.bookmark.position {
            Position::Snapshot { .. } => None,
            Position::Redo { seq, .. } | Position::Log { seq } => Some(seq),
        };
        if let Some(seq) = seq {
            if let Some((known, last)) = &self.last
                && *known == epoch
            {
                assert!(seq >= *last, "the token went back from {last} to {seq}");
            }
            self.last = Some((epoch, seq));
        }
        self.token = Some(token);
        if self.seen.is_none() {
            self.check_state(seq.expect("in step"));
        }
    }

    /// In step, the client has exactly what the server had at the token's seq, and no half of an atomic batch.
    fn check_state(&self, seq: u64) {
        let world = self.store.world();
        assert_eq!(self.rows, world.state_at(seq), "not the state at {seq}");
        let inside = |change: &&crate::world::Logged| change.atomic && change.commit.0 <= seq && seq < change.commit.1;
        assert!(!world.history.iter().any(|change| inside(&change)), "{seq} is inside an atomic batch");
    }

    /// 410 if and only if the log does not lead from there to the present; 503 only while something is under way.
    fn check_refusal(&self, error: &ApiError) {
        let world = self.store.world();
        match error.code() {
            Code::Timeout => {}
            Code::SyncTokenExpired => {
                let reason = error.details().expect("details")["reason"].as_str().expect("text").to_owned();
                let (epoch, seq) = self.position();
                match reason.as_str() {
                    "unknown" => assert!(epoch != world.epoch() || seq > world.head(), "{seq} is a good position"),
                    "expired" => assert!(may_be_expired(&world, seq), "{seq} has not expired"),
                    other => panic!("{other}"),
                }
            }
            Code::Unavailable => {
                let (_, seq) = self.position();
                let settled = world.now - (LAG + SignedDuration::from_secs(60));
                let recent = world.history.iter().any(|change| change.seq > seq && change.at > settled);
                assert!(
                    recent,
                    "503 at {:?}, and nothing has happened: {:?}",
                    self.token.as_ref().map(|token| self.tokens.open(SCOPE, token)),
                    world.history
                );
            }
            other => panic!("{other:?}: {error:?}"),
        }
    }

    fn position(&self) -> (String, u64) {
        let Some(token) = &self.token else { return (String::new(), 0) };
        let bookmark = self.tokens.open(SCOPE, token).expect("ours");
        match bookmark.position {
            Position::Snapshot { base, .. } => (bookmark.epoch, base),
            Position::Redo { seq, .. } | Position::Log { seq } => (bookmark.epoch, seq),
        }
    }

    /// A token of somebody else, one that was changed on the way, one of another view.
    async fn refused_tokens(&mut self) {
        let Some(token) = self.token.clone() else { return };
        if self.store.world().rng.f64() > 0.1 {
            return;
        }
        let code = |result: Result<_, ApiError>| result.map(drop).expect_err("refused").code();
        let ask = async |scope: &str, token: &str, view: &str| {
            code(delta(&self.notes, &self.tokens, scope, Some(token), self.limit, view).await)
        };
        assert_eq!(ask("U#b", &token, VIEW).await, Code::InvalidSyncToken, "a token of another user");
        assert_eq!(ask(SCOPE, &token, "v2:full").await, Code::SyncTokenExpired, "a token of another view");
        let place = self.store.world().rng.usize(..token.len());
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).expect("ASCII");
        assert_eq!(ask(SCOPE, &tampered, VIEW).await, Code::InvalidSyncToken, "a token that was changed");
        assert_eq!(ask(SCOPE, &token[..place], VIEW).await, Code::InvalidSyncToken, "a token that was cut");
    }

    /// At rest: equal to the server, and a poll reads no more than the head.
    pub(crate) async fn check_at_rest(&mut self) {
        let reads = |phone: &Self| {
            let world = phone.store.world();
            (world.items_read, world.queries)
        };
        let (head, server) = {
            let world = self.store.world();
            (world.head(), world.state_at(world.head()))
        };
        assert_eq!(self.rows, server, "not what the server has");
        let (items, queries) = reads(self);
        assert_eq!(self.step().await, Ok(false));
        let (items_after, queries_after) = reads(self);
        let expected = (usize::from(head > 0), 1);
        assert_eq!((items_after - items, queries_after - queries), expected, "an idle poll reads the head alone");
    }
}

/// Whether the entry after a seq has expired, as far as clocks agree on it.
fn may_be_expired(world: &World, seq: u64) -> bool {
    let horizon = world.now - RETENTION + SignedDuration::try_from(SKEW * 2).expect("short");
    world.history.iter().any(|change| change.seq == seq + 1 && change.at < horizon)
        || (seq < world.head() && !world.is_stored(SCOPE, seq + 1))
}
