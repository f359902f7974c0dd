//! Changing rows against all others who do.
//!
//! A write reads its rows and the head, decides, and commits rows, log entries and head in one transaction. When somebody
//! else was faster, the transaction does nothing, and the write decides again on what is there now.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures_util::future::{try_join, try_join_all};
use jiff::{SignedDuration, Timestamp};

use super::{
    ChangeLog, Entity, MutationId, Once, Record,
    schema::{HEAD, Head, Row, new_epoch},
    store::{Check, Commit, Put, Refusal, Store, When},
};
use crate::{
    Id,
    error::{ApiError, Code},
};

/// The most mutations of one batch: a transaction has up to 100 actions, one for the head and two for each mutation.
pub const MAX_BATCH: usize = 49;

/// How long a write tries when others write to the same scope.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);
/// First and last ceiling of the pause between two tries; it doubles with each.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// How many tries it takes to believe that a log is broken: a refusal may tell less than all of what it met.
const BROKEN_AFTER: u32 = 3;

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
/// be looked up. Whether a write changes anything is its word: what says [`Change::Put`] becomes a version.
pub trait Decide<E>: Send {
    /// Why a write does not happen.
    type Refused: From<ApiError> + Send;

    /// Decides, for the current row; a tombstone is a row without a value.
    fn decide(&mut self, current: Option<&Record<E>>) -> impl Future<Output = Result<Change<E>, Self::Refused>> + Send;

    /// Why a write does not happen whose predecessor, in the same batch and on the same row, was refused: it was made for
    /// a state that never came about, even if another device has made one with the same version.
    fn refuse_after_another(&mut self, _current: Option<&Record<E>>) -> Self::Refused {
        ApiError::new(Code::Conflict, "An earlier mutation of this batch and this row was refused.").into()
    }
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

/// One write of a batch.
#[derive(Debug)]
pub struct Mutation<D> {
    /// The row.
    pub id: Id,
    /// The client's id for this write, by which a retry is recognised.
    pub mutation_id: Option<MutationId>,
    /// What it does.
    pub decision: D,
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

/// What each write of a batch has come to, in their order.
type Outcomes<E, R> = Vec<Result<Outcome<E>, R>>;

/// What a write starts from: its rows, each as it is or `None`, and the head.
struct Found<E> {
    rows: HashMap<Id, Option<Row<E>>>,
    head: Option<Head>,
}

/// What a write would commit.
struct Plan<E, R> {
    outcomes: Outcomes<E, R>,
    rows: HashMap<Id, Option<Row<E>>>,
    /// The new versions, in the order of their seqs.
    entries: Vec<Record<E>>,
}

impl<E: Entity, S: Store> ChangeLog<E, S> {
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
        decision: D,
        once: Option<&Once>,
    ) -> Result<Outcome<E>, D::Refused> {
        let mut batch = [Mutation { id: id.clone(), mutation_id: None, decision }];
        let mut outcomes = self.apply(scope, &mut batch, false, once).await?;
        outcomes.pop().ok_or_else(|| ApiError::internal("a write without an outcome"))?
    }

    /// Changes up to [`MAX_BATCH`] rows in one transaction. A later mutation of a row sees what an earlier one made.
    ///
    /// Each mutation has an outcome of its own, in their order. An `atomic` batch is applied whole or not at all: if one
    /// outcome is a refusal, nothing was written, whatever the others say.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the scope is too busy; else when the store fails.
    pub async fn write_batch<D: Decide<E>>(
        &self,
        scope: &str,
        batch: &mut [Mutation<D>],
        atomic: bool,
    ) -> Result<Outcomes<E, D::Refused>, ApiError> {
        if batch.len() > MAX_BATCH {
            return Err(ApiError::internal(format!("a batch of {}", batch.len())));
        }
        self.apply(scope, batch, atomic, None).await
    }

    async fn apply<D: Decide<E>>(
        &self,
        scope: &str,
        batch: &mut [Mutation<D>],
        atomic: bool,
        once: Option<&Once>,
    ) -> Result<Outcomes<E, D::Refused>, ApiError> {
        let ids: HashSet<Id> = batch.iter().map(|mutation| mutation.id.clone()).collect();
        let give_up = self.store.now() + PATIENCE;
        let mut found = None;
        for attempt in 0.. {
            if let Some(record) = self.replay(scope, once).await? {
                return Ok(vec![Ok(Outcome { record: Some(record), effect: Effect::Replayed })]);
            }
            let start = match found.take() {
                Some(found) => found,
                None => self.find(scope, &ids).await?,
            };
            let plan = self.plan(&start, batch).await;
            if plan.entries.is_empty() || (atomic && plan.outcomes.iter().any(Result::is_err)) {
                return Ok(plan.outcomes);
            }
            let changed = plan.changed();
            match self.store.commit(self.commit(scope, &start, &plan, &changed, atomic, once)?).await? {
                Ok(()) => return Ok(plan.outcomes),
                Err(_) if self.store.now() > give_up => break,
                Err(Refusal::Stale { head, puts }) => {
                    if attempt >= BROKEN_AFTER && is_broken_log(&head, &puts, changed.len(), plan.entries.len()) {
                        return Err(ApiError::internal("the log is ahead of its head"));
                    }
                    // The images that came with the refusal are the newest there are: try with them at once, but only
                    // once, and only if they are all that the plan stands on. A key that was used is looked up in any
                    // case.
                    if attempt == 0 && changed.len() == ids.len() {
                        found = start.refreshed(&changed, &head, &puts)?;
                    } else {
                        self.store.sleep(full_jitter(attempt)).await;
                    }
                }
                Err(Refusal::Contended) => self.store.sleep(full_jitter(attempt)).await,
            }
        }
        Err(ApiError::unavailable(format!("the scope stayed contended for {PATIENCE:?}")))
    }

    /// What a key that was used before has made.
    async fn replay(&self, scope: &str, once: Option<&Once>) -> Result<Option<Record<E>>, ApiError> {
        let Some(once) = once else { return Ok(None) };
        match self.store.get(scope, once.sort_key(), true).await? {
            Some(item) => once.replay(&item, self.store.now()),
            None => Ok(None),
        }
    }

    pub(super) async fn head(&self, scope: &str) -> Result<Option<Head>, ApiError> {
        self.store.get(scope, HEAD, true).await?.as_ref().map(Head::from_item).transpose()
    }

    async fn find(&self, scope: &str, ids: &HashSet<Id>) -> Result<Found<E>, ApiError> {
        let row = async |id: &Id| Ok::<_, ApiError>((id.clone(), self.row(scope, id, true).await?));
        let (rows, head) = try_join(try_join_all(ids.iter().map(row)), self.head(scope)).await?;
        Ok(Found { rows: rows.into_iter().collect(), head })
    }

    /// Asks each decision, on the rows as the ones before it leave them.
    async fn plan<D: Decide<E>>(&self, found: &Found<E>, batch: &mut [Mutation<D>]) -> Plan<E, D::Refused> {
        let seq = found.head.as_ref().map_or(0, |head| head.seq);
        let at = self.time_after(found.head.as_ref());
        let mut plan =
            Plan { outcomes: Vec::with_capacity(batch.len()), rows: found.rows.clone(), entries: Vec::new() };
        let mut refused: HashSet<Id> = HashSet::new();
        for Mutation { id, mutation_id, decision } in batch {
            let row = plan.rows.get(id).and_then(Option::as_ref);
            let current = row.map(|row| &row.record);
            let known = row.zip(mutation_id.as_ref()).map_or(Ok(false), |(row, mutation)| row.knows(mutation));
            let change = match known {
                Ok(true) => Ok(Change::Keep),
                Ok(false) if refused.contains(id) => Err(decision.refuse_after_another(current)),
                Ok(false) => decision.decide(current).await,
                Err(error) => Err(error.into()),
            };
            let lived = current.is_some_and(|record| record.value.is_some());
            let value = match change {
                Ok(Change::Put(entity)) => Some(entity),
                Ok(Change::Delete) if lived => None,
                Ok(Change::Keep | Change::Delete) => {
                    plan.outcomes.push(Ok(Outcome { record: current.cloned(), effect: Effect::None }));
                    continue;
                }
                Err(reason) => {
                    refused.insert(id.clone());
                    plan.outcomes.push(Err(reason));
                    continue;
                }
            };
            let version = current.map_or(0, |record| record.version) + 1;
            let seq = seq + 1 + plan.entries.len() as u64;
            let record = Record { id: id.clone(), version, seq, value, at };
            let row = Row::after(row, record.clone(), mutation_id.as_ref());
            plan.rows.insert(id.clone(), Some(row));
            plan.entries.push(record.clone());
            let effect = if lived { Effect::Changed } else { Effect::Created };
            plan.outcomes.push(Ok(Outcome { record: Some(record), effect }));
        }
        plan
    }

    /// The present, as precise as the store keeps it, and never before the change before: the order of the log is the
    /// order of its times, whatever the clocks of the writers say.
    fn time_after(&self, head: Option<&Head>) -> Timestamp {
        let now = self.store.now();
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        head.map_or(now, |head| now.max(head.at))
    }

    /// Rows first, then log entries, then the key.
    fn commit<'a, R>(
        &self,
        scope: &'a str,
        start: &Found<E>,
        plan: &Plan<E, R>,
        changed: &[Id],
        atomic: bool,
        once: Option<&Once>,
    ) -> Result<Commit<'a>, ApiError> {
        let mut puts = Vec::with_capacity(changed.len() + plan.entries.len() + 1);
        for id in changed {
            let before = start.rows.get(id).and_then(Option::as_ref);
            let when = before.map_or(When::Absent, |row| When::Version(row.record.version));
            let row = plan.rows.get(id).and_then(Option::as_ref);
            let row = row.ok_or_else(|| ApiError::internal("a changed row is not in the plan"))?;
            puts.push(Put { item: row.item(scope, self.retention)?, when });
        }
        let last = plan.entries.last().ok_or_else(|| ApiError::internal("a commit without a change"))?;
        let until = (atomic && plan.entries.len() > 1).then_some(last.seq);
        let mut before = start.head.as_ref().map(|head| head.at);
        for entry in &plan.entries {
            let item = entry.log_entry(scope, before.replace(entry.at), until, self.retention)?;
            puts.push(Put { item, when: When::Absent });
        }
        if let Some(once) = once {
            puts.push(Put { item: once.item(scope, last)?, when: When::AbsentOrExpired(last.at.as_second()) });
        }
        let from = start.head.as_ref().map_or(0, |head| head.seq);
        Ok(Commit { scope, from, to: last.seq, at: last.at, epoch: new_epoch(), puts })
    }
}

impl<E, R> Plan<E, R> {
    /// The rows that change, each once.
    fn changed(&self) -> Vec<Id> {
        let mut seen = HashSet::new();
        self.entries.iter().map(|entry| entry.id.clone()).filter(|id| seen.insert(id.clone())).collect()
    }
}

impl<E: Entity> Found<E> {
    /// Takes the images that came with the refusal; nothing when one did not come, and all has to be read again.
    fn refreshed(mut self, changed: &[Id], head: &Check, puts: &[Check]) -> Result<Option<Self>, ApiError> {
        match head {
            Check::Held => {}
            Check::Found(item) => self.head = Some(Head::from_item(item)?),
            Check::Unknown => return Ok(None),
        }
        for (id, check) in changed.iter().zip(puts) {
            match check {
                Check::Held => {}
                Check::Found(item) => drop(self.rows.insert(id.clone(), Some(Row::from_item(item)?))),
                Check::Unknown => return Ok(None),
            }
        }
        Ok(Some(self))
    }
}

/// When only a log entry is known to be in the way, it is ahead of its head. No write of ours can bring that about, so trying again
/// would never end.
fn is_broken_log(head: &Check, puts: &[Check], rows: usize, entries: usize) -> bool {
    let all_held = |checks: &[Check]| checks.iter().all(|check| *check == Check::Held);
    let (rows, rest) = puts.split_at(rows.min(puts.len()));
    let entries = &rest[..entries.min(rest.len())];
    *head == Check::Held && all_held(rows) && entries.iter().any(|check| matches!(check, Check::Found(_)))
}

/// A pause between nothing and a ceiling that doubles: spreads those who collided (AWS Architecture Blog,
/// "Exponential Backoff And Jitter").
fn full_jitter(attempt: u32) -> Duration {
    BACKOFF.0.saturating_mul(1 << attempt.min(6)).min(BACKOFF.1).mul_f64(fastrand::f64())
}
