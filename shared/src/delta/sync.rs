//! What has changed since a client last asked.
//!
//! In step, a client reads the log from its position on. A page is the contiguous part of it: each boundary is an exact
//! state. Without a position, it reads all rows first and then the log from before the beginning of that reading, so
//! that no change falls between the two. No clock of a client is ever trusted.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Bookmark, ChangeLog, Entity, Position, Record, Top,
    change_log::newest_entries,
    schema::{BEFORE, FIRST_ROW, HEAD, Head, Item, LAST_ROW, UNTIL, integer, log_key, row_key, size},
    store::{Found, Range, Store},
};
use crate::{
    Id,
    error::{ApiError, Code},
};

/// A change older than this is visible to every reader, whatever the store was doing when it was made.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);
/// How often a gap in the log is looked at again, and how long between: a transaction's items become visible one by one.
const GAP_LOOKS: u32 = 10;
const GAP_PAUSE: Duration = Duration::from_millis(100);

/// About how large the items of a page may be in the store. With what a view adds, a page stays below the megabyte that
/// a load balancer takes from a function.
const PAGE_BYTES: usize = 400_000;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Where it stands; nowhere on its first sync.
    pub since: Option<Bookmark>,
    /// At most this many items a page.
    pub limit: u16,
    /// A hash of the level, the fields and the filters: see [`view_hash`](super::view_hash).
    pub view: String,
}

/// One page of changes.
#[derive(Clone, Debug)]
pub struct Delta<E> {
    /// The newest state of each thing that changed, each once; a tombstone has no value.
    pub items: Vec<Record<E>>,
    /// Where the client stands after this page.
    pub bookmark: Bookmark,
    /// Whether there is more to ask for at once.
    pub has_more: bool,
    /// Whether the page is part of a sync from the start: at its end, what the client has not seen is gone.
    pub full_sync: bool,
}

/// Why a position no longer leads to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The log no longer reaches back so far.
    Expired,
    /// The position is in another log than the present one, after a restore for example.
    Unknown,
    /// The client asks for another level or other fields than before, or would see other addresses of images.
    ScopeChanged,
}

impl Reason {
    fn error(self) -> ApiError {
        let (reason, message) = match self {
            Self::Expired => ("expired", "The changes since this sync token are no longer kept."),
            Self::Unknown => ("unknown", "This sync token belongs to another state of the data."),
            Self::ScopeChanged => {
                ("scopeChanged", "This sync token belongs to another level, other fields or other addresses of images.")
            }
        };
        ApiError::new(Code::SyncTokenExpired, format!("{message} Sync from the start: leave since out."))
            .with_details(json!({ "reason": reason }))
    }
}

/// How far a first sync has read the rows.
struct Read {
    /// Where the log takes over.
    base: u64,
    /// The newest so far.
    top: Top,
    /// The last row.
    after: Option<Id>,
}

/// A stretch of the log, as far as it has no gap.
struct Stretch<E> {
    /// The first seq that was asked for.
    first: u64,
    entries: Vec<Entry<E>>,
    /// When the last of the entries was made that are missing in a gap.
    gap: Option<Timestamp>,
    head: Option<Head>,
}

struct Entry<E> {
    record: Record<E>,
    /// The last seq of the atomic batch that it belongs to; its own where it stands alone.
    until: u64,
    bytes: usize,
}

impl<E: Entity> Stretch<E> {
    /// The seq that has to come next.
    fn next(&self) -> u64 {
        self.entries.last().map_or(self.first, |last| last.record.seq + 1)
    }

    /// Takes what a query found from `next` on. What is older than the log reaches back is as good as gone.
    fn take(&mut self, items: &[Item], oldest: Timestamp) -> Result<(), ApiError> {
        for item in items {
            if item.get("sk").and_then(|key| key.as_s().ok()).is_some_and(|key| key == HEAD) {
                self.head = Some(Head::from_item(item)?);
            } else if self.gap.is_none() {
                let record: Record<E> = Record::from_item(item)?;
                let until = if item.contains_key(UNTIL) { integer(item, UNTIL)? } else { record.seq };
                if record.at < oldest {
                    self.gap = Some(record.at);
                } else if record.seq == self.next() {
                    self.entries.push(Entry { record, until, bytes: size(item) });
                } else {
                    let before = Timestamp::from_millisecond(integer(item, BEFORE)?);
                    self.gap = Some(before.map_err(ApiError::internal)?);
                }
            }
        }
        Ok(())
    }

    /// Whether the stretch begins with an atomic batch whose end has not been read.
    fn begins_with_part(&self) -> bool {
        self.entries.first().is_some_and(|first| first.until >= self.next())
    }

    /// How many entries make a page: as many as fit, but whole batches, and at least one of them.
    fn page(&self, limit: u16) -> usize {
        let mut bytes = 0;
        let mut end = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            bytes += entry.bytes;
            if end > 0 && (index >= usize::from(limit) || bytes > PAGE_BYTES) {
                break;
            }
            if entry.until == entry.record.seq {
                end = index + 1;
            }
        }
        end
    }
}

impl<E: Entity, S: Store> ChangeLog<E, S> {
    /// The changes of a scope since a client last asked, or everything.
    ///
    /// # Errors
    /// `SYNC_TOKEN_EXPIRED` when the client has to start again; `UNAVAILABLE` when a write is under way that takes too
    /// long to become visible; else when the store fails.
    pub async fn changes(&self, scope: &str, request: &SyncRequest) -> Result<Delta<E>, ApiError> {
        match &request.since {
            None => self.begin(scope, request).await,
            Some(bookmark) if bookmark.view != request.view => Err(Reason::ScopeChanged.error()),
            Some(bookmark) => match &bookmark.position {
                Position::Snapshot { base, top, after } => {
                    let read = Read { base: *base, top: *top, after: after.clone() };
                    self.snapshot(scope, request, &bookmark.epoch, read).await
                }
                Position::Redo { seq, top } => self.follow(scope, request, &bookmark.epoch, *seq, Some(*top)).await,
                Position::Log { seq } => self.follow(scope, request, &bookmark.epoch, *seq, None).await,
            },
        }
    }

    /// A first sync: fixes from where the log will be replayed, then reads rows.
    async fn begin(&self, scope: &str, request: &SyncRequest) -> Result<Delta<E>, ApiError> {
        let Some(head) = self.head(scope).await? else {
            return Ok(delta(request, Vec::new(), Position::Log { seq: 0 }, "", false, true));
        };
        let base = self.settled(scope, &head).await?;
        self.snapshot(scope, request, &head.epoch, Read { base, top: Top::default(), after: None }).await
    }

    /// A name for the present state of a scope, which every reader sees; `None` when it changed within the last minute.
    /// Reads one small item.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settled_state(&self, scope: &str) -> Result<Option<String>, ApiError> {
        let settled = self.store.now() - SETTLED;
        let head = self.head(scope).await?.filter(|head| head.at < settled);
        Ok(head.map(|head| format!("{}:{}", head.epoch, head.seq)))
    }

    /// The newest seq that no reader can miss: that of an entry older than a minute.
    async fn settled(&self, scope: &str, head: &Head) -> Result<u64, ApiError> {
        for _ in 0..GAP_LOOKS {
            let cutoff = self.store.now() - SETTLED;
            if head.at < cutoff {
                return Ok(head.seq);
            }
            if let Some(seq) = self.newest_before(scope, head.seq, cutoff).await? {
                return Ok(seq);
            }
            self.store.sleep(GAP_PAUSE).await;
        }
        Err(ApiError::unavailable("no entry of the log is old enough to start from"))
    }

    /// The newest seq from before a time. The entry itself may be gone: the one after it tells when it was made.
    async fn newest_before(&self, scope: &str, from: u64, cutoff: Timestamp) -> Result<Option<u64>, ApiError> {
        let mut last = from;
        loop {
            let Found { items, more } = self.store.query(newest_entries(scope, last, 100, true)).await?;
            for entry in &items {
                let seq = integer::<u64>(entry, "seq")?;
                if integer::<i64>(entry, "at")? < cutoff.as_millisecond() {
                    return Ok(Some(seq));
                }
                if integer::<i64>(entry, BEFORE)? < cutoff.as_millisecond() {
                    return Ok(Some(seq - 1));
                }
                last = seq - 1;
            }
            if !more {
                return Ok(None);
            }
        }
    }

    async fn snapshot(
        &self,
        scope: &str,
        request: &SyncRequest,
        epoch: &str,
        Read { base, top, after }: Read,
    ) -> Result<Delta<E>, ApiError> {
        let range = Range {
            index: None,
            partition: scope,
            first: after.as_ref().map_or_else(|| FIRST_ROW.to_owned(), |id| format!("{}!", row_key(id))),
            last: LAST_ROW.to_owned(),
            backward: false,
            strong: true,
            limit: request.limit.max(1),
        };
        let Found { items, more } = self.store.query(range).await?;
        let mut bytes = 0;
        let fit = items.iter().take_while(|item| {
            bytes += size(item);
            bytes <= PAGE_BYTES
        });
        let fit = fit.count().max(1);
        let rows = items.iter().take(fit).map(Record::from_item).collect::<Result<Vec<_>, _>>()?;
        let top = rows.iter().map(|row: &Record<E>| Top(row.seq, row.at.as_millisecond())).fold(top, Top::max);
        let position = match rows.last() {
            Some(last) if more || fit < items.len() => Position::Snapshot { base, top, after: Some(last.id.clone()) },
            _ => Position::Redo { seq: base, top },
        };
        let live = rows.into_iter().filter(|row: &Record<E>| row.value.is_some()).collect();
        Ok(delta(request, live, position, epoch, true, true))
    }

    /// The log from a position on. In a full sync it has to reach `top`: a row may be visible before the entry and the head
    /// that go with it, and until they are, what the client has is not yet a state of the server.
    async fn follow(
        &self,
        scope: &str,
        request: &SyncRequest,
        epoch: &str,
        since: u64,
        top: Option<Top>,
    ) -> Result<Delta<E>, ApiError> {
        let full_sync = top.is_some();
        let goal = top.unwrap_or_default();
        let mut stretch: Stretch<E> = self.settled_stretch(scope, since, epoch, goal, request.limit).await?;
        let Some(head) = stretch.head.take() else {
            // Nothing was ever written here, so only the very beginning is a position.
            return if is_beginning(since, epoch) {
                Ok(delta(request, Vec::new(), Position::Log { seq: 0 }, "", false, full_sync))
            } else {
                Err(Reason::Unknown.error())
            };
        };
        let page = stretch.page(request.limit);
        if since > head.seq || !head.is_of(epoch, since) || (since == head.seq && since < goal.0) {
            return Err(Reason::Unknown.error());
        }
        if page == 0 && since < head.seq {
            return Err(Reason::Expired.error());
        }
        let entries: Vec<Record<E>> = stretch.entries.into_iter().take(page).map(|entry| entry.record).collect();
        let last = entries.last().map_or(since, |entry| entry.seq);
        let has_more = last < head.seq.max(goal.0);
        let position = match top {
            Some(top) if has_more => Position::Redo { seq: last, top },
            _ => Position::Log { seq: last },
        };
        Ok(delta(request, newest_of_each(entries), position, &head.epoch, has_more, full_sync))
    }

    /// Reads again while the stretch begins with a gap that may yet close, or ends before a change that the client has
    /// seen. A gap before an old entry never closes.
    async fn settled_stretch(
        &self,
        scope: &str,
        since: u64,
        epoch: &str,
        goal: Top,
        limit: u16,
    ) -> Result<Stretch<E>, ApiError> {
        for _ in 0..GAP_LOOKS {
            let stretch = self.stretch(scope, since, limit).await?;
            let settled = self.store.now() - SETTLED;
            let awaited = match &stretch.head {
                _ if stretch.page(limit) > 0 => false,
                Some(head) if !head.is_of(epoch, since) => false,
                Some(head) if since < head.seq => stretch.gap.unwrap_or(head.at) > settled,
                Some(_) => since < goal.0 && goal.1 > settled.as_millisecond(),
                // Whoever has a token has seen a head.
                None => false,
            };
            if !awaited {
                return Ok(stretch);
            }
            self.store.sleep(GAP_PAUSE).await;
        }
        Err(ApiError::unavailable("a gap in the log did not close"))
    }

    /// One strong query over the log's tail and the head behind it. The head is read apart only when the tail is longer
    /// than a page, and the query goes on only when the page is not long enough for an atomic batch.
    async fn stretch(&self, scope: &str, since: u64, limit: u16) -> Result<Stretch<E>, ApiError> {
        let oldest = self.retention.reaches_back_to(self.store.now());
        let first = since.saturating_add(1);
        let mut stretch = Stretch { first, entries: Vec::new(), gap: None, head: None };
        loop {
            let range = Range {
                index: None,
                partition: scope,
                first: log_key(stretch.next()),
                last: HEAD.to_owned(),
                backward: false,
                strong: true,
                limit: limit.saturating_add(1),
            };
            let Found { items, more } = self.store.query(range).await?;
            stretch.take(&items, oldest)?;
            if !(more && stretch.begins_with_part() && stretch.gap.is_none()) {
                break;
            }
        }
        if stretch.head.is_none() {
            stretch.head = self.head(scope).await?;
        }
        // An entry may be visible before the head that goes with it. A token from beyond the head would look as if it came
        // from another log.
        let seen = stretch.head.as_ref().map_or(0, |head| head.seq);
        stretch.entries.retain(|entry| entry.record.seq <= seen);
        Ok(stretch)
    }
}

/// Whether a position is the one before the first write of a scope, which has no epoch yet.
fn is_beginning(since: u64, epoch: &str) -> bool {
    since == 0 && epoch.is_empty()
}

impl Head {
    /// Whether a position is one in this log.
    fn is_of(&self, epoch: &str, since: u64) -> bool {
        self.epoch == epoch || is_beginning(since, epoch)
    }
}

fn delta<E>(
    request: &SyncRequest,
    items: Vec<Record<E>>,
    position: Position,
    epoch: &str,
    has_more: bool,
    full_sync: bool,
) -> Delta<E> {
    let bookmark = Bookmark { position, epoch: epoch.to_owned(), view: request.view.clone() };
    Delta { items, bookmark, has_more, full_sync }
}

/// The last state of each thing, in the order of those last changes.
fn newest_of_each<E>(entries: Vec<Record<E>>) -> Vec<Record<E>> {
    let newest: HashMap<Id, u64> = entries.iter().map(|entry| (entry.id.clone(), entry.seq)).collect();
    entries.into_iter().filter(|entry| newest.get(&entry.id) == Some(&entry.seq)).collect()
}
