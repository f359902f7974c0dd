//! What has changed since a client last asked.
//!
//! In step, a client reads the log from its position on. A page is the contiguous part of it: each boundary is an exact
//! state. Without a position, it reads all rows first and then the log from before the beginning of that reading, so
//! that no change falls between the two. No clock of a client is ever trusted.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Bookmark, ChangeLog, Entity, Position, Record,
    schema::{FIRST_ROW, HEAD, Item, LAST_ROW, integer, log_key, row_key},
};
use crate::{
    Id,
    backend::dynamo::store_error,
    error::{ApiError, Code},
};

/// A change older than this is visible to every reader, whatever the store was doing when it was made.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);
/// How often a gap in the log is looked at again, and how long between: a transaction's items become visible one by one.
const GAP_LOOKS: u32 = 10;
const GAP_PAUSE: Duration = Duration::from_millis(100);

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
    /// The client asks for other levels, fields or filters than before.
    ScopeChanged,
}

impl Reason {
    fn error(self) -> ApiError {
        let (reason, message) = match self {
            Self::Expired => ("expired", "The changes since this sync token are no longer kept."),
            Self::Unknown => ("unknown", "This sync token belongs to another state of the data."),
            Self::ScopeChanged => {
                ("scopeChanged", "This sync token belongs to another level, other fields or filters.")
            }
        };
        ApiError::new(Code::SyncTokenExpired, format!("{message} Sync from the start: leave since out."))
            .with_details(json!({ "reason": reason }))
    }
}

/// The head of a scope.
#[derive(Clone, Debug)]
struct Head {
    seq: u64,
    floor: u64,
    epoch: String,
    at: Timestamp,
}

impl Head {
    fn from_item(item: &Item) -> Result<Self, ApiError> {
        let epoch = item.get("epoch").and_then(|epoch| epoch.as_s().ok()).cloned().unwrap_or_default();
        let at = Timestamp::from_millisecond(integer(item, "at")?).map_err(ApiError::internal)?;
        Ok(Self { seq: integer(item, "seq")?, floor: integer(item, "floor")?, epoch, at })
    }
}

/// A stretch of the log.
struct Stretch<E> {
    /// Entries without a gap from the first one asked for.
    entries: Vec<Record<E>>,
    /// The first entry behind a gap, if there is one.
    behind_gap: Option<Timestamp>,
    head: Option<Head>,
}

impl<E: Entity> ChangeLog<E> {
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
                Position::Snapshot { base, after } => {
                    self.snapshot(scope, request, &bookmark.epoch, *base, after.as_ref()).await
                }
                Position::Redo { seq } => self.follow(scope, request, &bookmark.epoch, *seq, true).await,
                Position::Log { seq } => self.follow(scope, request, &bookmark.epoch, *seq, false).await,
            },
        }
    }

    /// A first sync: fixes from where the log will be replayed, then reads rows.
    async fn begin(&self, scope: &str, request: &SyncRequest) -> Result<Delta<E>, ApiError> {
        let Some(head) = self.head(scope).await? else {
            return Ok(delta(request, Vec::new(), Position::Log { seq: 0 }, "", false, true));
        };
        let base = self.settled(scope, &head).await?;
        self.snapshot(scope, request, &head.epoch, base, None).await
    }

    /// The newest seq that no reader can miss: an entry older than a minute, or the last one before the first that is
    /// still kept.
    async fn settled(&self, scope: &str, head: &Head) -> Result<u64, ApiError> {
        let cutoff = Timestamp::now() - SETTLED;
        let (mut oldest, mut last) = (head.seq + 1, head.seq);
        if head.at < cutoff {
            return Ok(head.seq);
        }
        loop {
            let query = self.between("pk", scope, log_key(0), log_key(last)).consistent_read(true).limit(100);
            let entries = query.send().await.map_err(store_error)?.items.unwrap_or_default();
            for entry in &entries {
                let (seq, millis) = (integer::<u64>(entry, "seq")?, integer::<i64>(entry, "at")?);
                if millis < cutoff.as_millisecond() {
                    return Ok(seq);
                }
                oldest = seq;
            }
            if entries.is_empty() || oldest == 0 {
                return Ok(oldest.saturating_sub(1));
            }
            last = oldest - 1;
        }
    }

    async fn snapshot(
        &self,
        scope: &str,
        request: &SyncRequest,
        epoch: &str,
        base: u64,
        after: Option<&Id>,
    ) -> Result<Delta<E>, ApiError> {
        let first = after.map_or_else(|| FIRST_ROW.to_owned(), |id| format!("{}!", row_key(id)));
        let query = self
            .between("pk", scope, first, LAST_ROW.to_owned())
            .scan_index_forward(true)
            .consistent_read(true)
            .limit(i32::from(request.limit));
        let answer = query.send().await.map_err(store_error)?;
        let rows = answer.items.unwrap_or_default().iter().map(Record::from_item).collect::<Result<Vec<_>, _>>()?;
        let position = match (answer.last_evaluated_key, rows.last()) {
            (Some(_), Some(last)) => Position::Snapshot { base, after: Some(last.id.clone()) },
            _ => Position::Redo { seq: base },
        };
        let live = rows.into_iter().filter(|row: &Record<E>| row.value.is_some()).collect();
        Ok(delta(request, live, position, epoch, true, true))
    }

    /// The log from a position on.
    async fn follow(
        &self,
        scope: &str,
        request: &SyncRequest,
        epoch: &str,
        since: u64,
        full_sync: bool,
    ) -> Result<Delta<E>, ApiError> {
        let Stretch { entries, head, .. } = self.settled_stretch(scope, since, request.limit).await?;
        let from_nothing = since == 0 && epoch.is_empty();
        let Some(head) = head else {
            // Nothing was ever written here, so only the very beginning is a position.
            return if from_nothing {
                Ok(delta(request, Vec::new(), Position::Log { seq: 0 }, "", false, full_sync))
            } else {
                Err(Reason::Unknown.error())
            };
        };
        if since > head.seq || (epoch != head.epoch && !from_nothing) {
            return Err(Reason::Unknown.error());
        }
        if since < head.floor || (entries.is_empty() && since < head.seq) {
            return Err(Reason::Expired.error());
        }
        let last = entries.last().map_or(since, |entry| entry.seq);
        let has_more = last < head.seq;
        let position = match (full_sync, has_more) {
            (true, true) => Position::Redo { seq: last },
            _ => Position::Log { seq: last },
        };
        Ok(delta(request, newest_of_each(entries), position, &head.epoch, has_more, full_sync))
    }

    /// Reads again while the stretch begins with a gap that may yet close. A gap before an old entry never will.
    async fn settled_stretch(&self, scope: &str, since: u64, limit: u16) -> Result<Stretch<E>, ApiError> {
        for _ in 0..GAP_LOOKS {
            let stretch = self.stretch(scope, since, limit).await?;
            let behind_head = stretch.head.as_ref().is_some_and(|head| since < head.seq);
            let next = stretch.behind_gap.or(stretch.head.as_ref().map(|head| head.at));
            let may_close = next.is_some_and(|at| at > Timestamp::now() - SETTLED);
            if !(stretch.entries.is_empty() && behind_head && may_close) {
                return Ok(stretch);
            }
            tokio::time::sleep(GAP_PAUSE).await;
        }
        Err(ApiError::unavailable("a gap in the log did not close"))
    }

    /// One strong query over the log's tail and the head behind it. The head is read apart only when the tail is longer
    /// than a page.
    async fn stretch(&self, scope: &str, since: u64, limit: u16) -> Result<Stretch<E>, ApiError> {
        let query = self
            .between("pk", scope, log_key(since.saturating_add(1)), HEAD.to_owned())
            .scan_index_forward(true)
            .consistent_read(true)
            .limit(i32::from(limit) + 1);
        let items = query.send().await.map_err(store_error)?.items.unwrap_or_default();
        let mut stretch = Stretch { entries: Vec::new(), behind_gap: None, head: None };
        for item in &items {
            if item.get("sk").and_then(|key| key.as_s().ok()).is_some_and(|key| key == HEAD) {
                stretch.head = Some(Head::from_item(item)?);
                break;
            }
            let entry: Record<E> = Record::from_item(item)?;
            let next = stretch.entries.last().map_or(since, |last: &Record<E>| last.seq) + 1;
            if entry.seq == next && stretch.behind_gap.is_none() {
                stretch.entries.push(entry);
            } else if stretch.behind_gap.is_none() {
                stretch.behind_gap = Some(entry.at);
            }
        }
        stretch.entries.truncate(usize::from(limit));
        if stretch.head.is_none() {
            stretch.head = self.head(scope).await?;
        }
        Ok(stretch)
    }

    async fn head(&self, scope: &str) -> Result<Option<Head>, ApiError> {
        self.item(scope, HEAD.to_owned(), true).await?.as_ref().map(Head::from_item).transpose()
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
