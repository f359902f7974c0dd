//! Reading rows, and changing one against all others who do.

use std::{
    collections::HashSet,
    marker::PhantomData,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{Client, operation::query::builders::QueryFluentBuilder};
use jiff::Timestamp;

use super::{
    Entity, Once, Record,
    schema::{FIRST_ROW, HEAD, Item, LAST_ROW, integer, log_key, row_key, text},
    transaction::{Check, Refusal, commit},
};
use crate::{
    Id,
    backend::dynamo::store_error,
    error::ApiError,
    http::page::{Page, PageRequest, cursor_after},
};

/// How long a write tries when others write to the same scope.
const PATIENCE: Duration = Duration::from_secs(2);
/// First and last ceiling of the pause between two tries; it doubles with each.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// A table of scopes. Cheap to clone.
#[derive(Debug)]
pub struct ChangeLog<E> {
    client: Client,
    table: String,
    strong: bool,
    entity: PhantomData<fn() -> E>,
}

impl<E> Clone for ChangeLog<E> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), table: self.table.clone(), strong: self.strong, entity: PhantomData }
    }
}

/// A secondary index whose partition key is one of [`Entity::index_attributes`] and whose sort key is `sk`.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// The index's name in the table.
    pub name: &'static str,
    /// The attribute that is its partition key.
    pub attribute: &'static str,
}

/// What a write wants to happen to the row that it found.
#[derive(Clone, Debug)]
pub enum Change<E> {
    /// Store this as the next version.
    Put(E),
    /// Leave a tombstone.
    Delete,
    /// Leave everything as it is.
    Keep,
}

/// Decides what a write does to the row that it finds.
///
/// It may be asked again, with a newer row, when another write came between. A plain function does where nothing has to
/// be looked up.
pub trait Decide<E>: Send {
    /// Why a write does not happen.
    type Refused: From<ApiError> + Send;

    /// Decides, for the current row; a tombstone is a row without a value.
    fn decide(&mut self, current: Option<&Record<E>>) -> impl Future<Output = Result<Change<E>, Self::Refused>> + Send;
}

impl<E, R, F> Decide<E> for F
where
    E: Entity,
    R: From<ApiError> + Send,
    F: FnMut(Option<&Record<E>>) -> Result<Change<E>, R> + Send,
{
    type Refused = R;

    async fn decide(&mut self, current: Option<&Record<E>>) -> Result<Change<E>, R> {
        self(current)
    }
}

/// What a write left behind.
#[derive(Clone, Debug)]
pub struct Outcome<E> {
    /// The row as it now is; `None` when there is none and the write left it so.
    pub record: Option<Record<E>>,
    /// What this write did.
    pub effect: Effect,
}

/// What a write did to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// There is a live row where there was none.
    Created,
    /// The row has a new version.
    Changed,
    /// Nothing now: an earlier request with the same key has made the row.
    Replayed,
}

/// What a write starts from.
struct Found<E> {
    row: Option<Record<E>>,
    /// Last number of the scope's log; 0 before the first write.
    seq: u64,
}

impl<E: Entity> ChangeLog<E> {
    /// A change log on a table with the keys `pk` and `sk`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), strong: true, entity: PhantomData }
    }

    /// Reads at half the cost, of a state that may be a moment old. Writes are not affected.
    #[must_use]
    pub fn eventually_consistent(mut self) -> Self {
        self.strong = false;
        self
    }

    /// The current row, tombstones included.
    ///
    /// # Errors
    /// When the store fails, see [`store_error`].
    pub async fn get(&self, scope: &str, id: &Id) -> Result<Option<Record<E>>, ApiError> {
        self.row(scope, id, self.strong).await
    }

    async fn row(&self, scope: &str, id: &Id, strong: bool) -> Result<Option<Record<E>>, ApiError> {
        let item = self.item(scope, row_key(id), strong).await?;
        item.as_ref().map(Record::from_item).transpose()
    }

    pub(super) async fn item(&self, scope: &str, sort_key: String, strong: bool) -> Result<Option<Item>, ApiError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(strong);
        let answer = request.key("pk", text(scope)).key("sk", text(sort_key)).send().await.map_err(store_error)?;
        Ok(answer.item)
    }

    /// The live rows of a scope by descending id, so that ids made by the server come newest first.
    ///
    /// A page may be short of its limit while it has a cursor: deleted rows are passed over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, scope: &str, page: &PageRequest) -> Result<Page<Record<E>>, ApiError> {
        let (first, last) = rows_below(page);
        self.page(self.between("pk", scope, first, last).consistent_read(self.strong), page).await
    }

    /// Like [`list`](Self::list), over a secondary index: the rows whose attribute has this value. Index reads are
    /// eventually consistent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_by(&self, index: Index, value: &str, page: &PageRequest) -> Result<Page<Record<E>>, ApiError> {
        let (first, last) = rows_below(page);
        self.page(self.between(index.attribute, value, first, last).index_name(index.name), page).await
    }

    /// A query over the sort keys from `first` to `last`, both included, the highest first.
    pub(super) fn between(&self, key: &str, value: &str, first: String, last: String) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#key = :key AND sk BETWEEN :first AND :last")
            .expression_attribute_names("#key", key)
            .expression_attribute_values(":key", text(value))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last))
            .scan_index_forward(false)
    }

    async fn page(&self, query: QueryFluentBuilder, page: &PageRequest) -> Result<Page<Record<E>>, ApiError> {
        let limit = usize::from(page.limit);
        let answer = query
            // One for the row of the cursor, which the range includes, and one to see whether there is more.
            .limit(i32::from(page.limit) + 2)
            .send()
            .await
            .map_err(store_error)?;
        let more_stored = answer.last_evaluated_key.is_some();
        let rows = answer.items.unwrap_or_default().iter().map(Record::from_item).collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<Record<E>> = rows.into_iter().filter(|row| page.after.as_ref() != Some(&row.id)).collect();
        let more = more_stored || rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| cursor_after(&row.id));
        rows.retain(|row| row.value.is_some());
        Ok(Page { items: rows, next_cursor })
    }

    /// The entities that changed last, newest first, each once, without deleted ones; at most `limit`.
    ///
    /// Reads at most four log entries for each one asked for. Where the log has too few, because it has expired or
    /// because one entity changes all the time, rows by descending id make up the number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recent(&self, scope: &str, limit: u16) -> Result<Vec<Record<E>>, ApiError> {
        let query = self
            .between("pk", scope, log_key(0), log_key(u64::MAX))
            .consistent_read(self.strong)
            .limit(i32::from(limit) * 4);
        let entries = query.send().await.map_err(store_error)?.items.unwrap_or_default();
        let mut seen = HashSet::new();
        let mut recent = Vec::new();
        for entry in &entries {
            let record: Record<E> = Record::from_item(entry)?;
            if seen.insert(record.id.clone()) && record.value.is_some() {
                recent.push(record);
            }
        }
        if recent.len() < usize::from(limit) {
            let rows = self.list(scope, &PageRequest { limit, after: None }).await?.items;
            recent.extend(rows.into_iter().filter(|row| !seen.contains(&row.id)));
        }
        recent.truncate(usize::from(limit));
        Ok(recent)
    }

    /// Changes one row, as a decision says that sees the current one.
    ///
    /// # Errors
    /// What the decision refuses with; `UNAVAILABLE` when the scope is too busy; else when the store fails.
    pub async fn write<D: Decide<E>>(&self, scope: &str, id: &Id, decision: D) -> Result<Outcome<E>, D::Refused> {
        self.write_once(scope, id, decision, None).await
    }

    /// Like [`write`](Self::write); with a key that was used before, the first outcome once more, and nothing is written.
    ///
    /// # Errors
    /// Also `IDEMPOTENCY_MISMATCH` when the key was used for something else.
    pub async fn write_once<D: Decide<E>>(
        &self,
        scope: &str,
        id: &Id,
        mut decision: D,
        once: Option<&Once>,
    ) -> Result<Outcome<E>, D::Refused> {
        let give_up = Instant::now() + PATIENCE;
        if let Some(outcome) = self.replay(scope, once).await? {
            return Ok(outcome);
        }
        let mut found = self.find(scope, id).await?;
        for attempt in 0.. {
            let value = match decision.decide(found.row.as_ref()).await? {
                Change::Put(entity) => Some(entity),
                Change::Delete => None,
                Change::Keep => return Ok(Outcome { record: found.row, effect: Effect::None }),
            };
            let version = found.row.as_ref().map_or(0, |row| row.version) + 1;
            let record = Record { id: id.clone(), version, seq: found.seq + 1, value, at: now() };
            let old = found.row.as_ref().map(|row| row.version);
            match commit(&self.client, &self.table, scope, found.seq, old, &record, once).await? {
                Ok(()) => {
                    let existed = found.row.is_some_and(|row| row.value.is_some());
                    let effect = if existed { Effect::Changed } else { Effect::Created };
                    return Ok(Outcome { record: Some(record), effect });
                }
                Err(Refusal::Used(Some(item))) if let Some(once) = once => {
                    // The other request with this key was a moment faster.
                    if let Some(record) = once.replay(&item)? {
                        return Ok(Outcome { record: Some(record), effect: Effect::Replayed });
                    }
                }
                Err(_) if Instant::now() > give_up => break,
                // The images that came with the refusal are the newest there are: try with them at once, but only once.
                Err(Refusal::Stale { head, row }) if attempt == 0 => {
                    found = self.refreshed(scope, id, found, head, row).await?;
                }
                Err(Refusal::Stale { .. } | Refusal::Contended | Refusal::Used(_)) => {
                    tokio::time::sleep(full_jitter(attempt)).await;
                    if let Some(outcome) = self.replay(scope, once).await? {
                        return Ok(outcome);
                    }
                    found = self.find(scope, id).await?;
                }
            }
        }
        Err(ApiError::unavailable(format!("the scope stayed contended for {PATIENCE:?}")).into())
    }

    /// What a key that was used before has made.
    async fn replay(&self, scope: &str, once: Option<&Once>) -> Result<Option<Outcome<E>>, ApiError> {
        let Some(once) = once else { return Ok(None) };
        let Some(item) = self.item(scope, once.sort_key().to_owned(), true).await? else { return Ok(None) };
        let record = once.replay(&item)?;
        Ok(record.map(|record| Outcome { record: Some(record), effect: Effect::Replayed }))
    }

    async fn find(&self, scope: &str, id: &Id) -> Result<Found<E>, ApiError> {
        let (row, head) = tokio::try_join!(self.row(scope, id, true), self.item(scope, HEAD.to_owned(), true))?;
        Ok(Found { row, seq: head.map_or(Ok(0), |head| integer(&head, "seq"))? })
    }

    /// Takes the images that came with the refusal, and reads again what did not come.
    async fn refreshed(
        &self,
        scope: &str,
        id: &Id,
        found: Found<E>,
        head: Check,
        row: Check,
    ) -> Result<Found<E>, ApiError> {
        let seq = match head {
            Check::Held => found.seq,
            Check::Found(head) => integer(&head, "seq")?,
            Check::Unknown => return self.find(scope, id).await,
        };
        let row = match row {
            Check::Held => found.row,
            Check::Found(row) => Some(Record::from_item(&row)?),
            Check::Unknown => return self.find(scope, id).await,
        };
        Ok(Found { row, seq })
    }
}

/// The sort keys of the rows from the page's cursor down, the cursor's own row included.
fn rows_below(page: &PageRequest) -> (String, String) {
    (FIRST_ROW.into(), page.after.as_ref().map_or_else(|| LAST_ROW.into(), row_key))
}

/// A pause between nothing and a ceiling that doubles: spreads those who collided (AWS Architecture Blog,
/// "Exponential Backoff And Jitter").
fn full_jitter(attempt: u32) -> Duration {
    BACKOFF.0.saturating_mul(1 << attempt.min(6)).min(BACKOFF.1).mul_f64(fastrand::f64())
}

/// The present, as precise as the store keeps it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
