//! The items of a scope's partition.
//!
//! | sort key | contents |
//! | --- | --- |
//! | `O#<id>` | the current row: version, seq, the entity or the mark of its deletion, and where it comes from |
//! | `C#<seq, 20 digits>` | the log: what one change left behind, when the one before was made, and where its atomic batch ends |
//! | `C#HEAD` | the last seq, and the epoch of this log; sorts after the digits |
//! | `K#<hash>` | an idempotency key: what its first request has made |

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};

use super::{Entity, MutationId};
use crate::{
    Id,
    config::{ConfigError, Env},
    error::ApiError,
};

/// A DynamoDB item.
pub type Item = HashMap<String, AttributeValue>;

/// The sort key of the item that holds a log's last seq and its epoch.
pub const HEAD: &str = "C#HEAD";
/// Below every row, and above: '$' follows '#'.
pub(super) const FIRST_ROW: &str = "O#";
pub(super) const LAST_ROW: &str = "O$";
/// The attribute of a row or a log entry that holds the entity.
const DATA: &str = "data";
/// The attribute of a log entry that names the last seq of its atomic batch.
pub(super) const UNTIL: &str = "until";
/// The attribute of a log entry that says when the entry before it was made, in milliseconds; 0 for the first. It tells
/// an entry that is not visible yet from one that is gone.
pub(super) const BEFORE: &str = "before";

/// How long the log reaches back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(Duration);

impl Retention {
    /// The store deletes what is past its time within some days, in no order; so an item lives longer than it is read.
    const SLACK: Duration = Duration::from_hours(7 * 24);

    /// A full sync replays the last minute and more of the log, so that has to be there.
    const LEAST: Duration = Duration::from_secs(70);

    /// Reads `SYNC_RETENTION_SECONDS`; 90 days when it is not set, so that a client that was away for a season still
    /// gets a delta.
    ///
    /// # Errors
    /// When the value is not a whole number from 70.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let name = "SYNC_RETENTION_SECONDS";
        let time = Duration::from_secs(env.parsed(name, Self::default().0.as_secs())?);
        if time < Self::LEAST {
            let (given, least) = (time.as_secs(), Self::LEAST.as_secs());
            return Err(ConfigError::new(name, format!("is {given}; it must be at least {least} (seconds)")));
        }
        Ok(Self(time))
    }

    /// Keeps the log for this long.
    pub const fn of(time: Duration) -> Self {
        Self(time)
    }

    /// The oldest entry that is still read.
    pub(super) fn reaches_back_to(self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.0).unwrap_or(Timestamp::MIN)
    }

    fn of_log_entries(self) -> Duration {
        self.0.saturating_add(Self::SLACK)
    }

    /// A tombstone outlives the log, so that no client can bring back a row whose deletion it has not seen.
    fn of_tombstones(self) -> Duration {
        self.of_log_entries().saturating_add(Self::SLACK)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self(Duration::from_hours(90 * 24))
    }
}

/// One version of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<E> {
    /// The entity's id.
    pub id: Id,
    /// 1 for the first version, one more with each change.
    pub version: u64,
    /// The change's number in the scope's log.
    pub seq: u64,
    /// The entity; `None` after its deletion.
    pub value: Option<E>,
    /// When the change was made.
    pub at: Timestamp,
}

pub(super) fn row_key(id: &Id) -> String {
    format!("O#{id}")
}

pub(super) fn log_key(seq: u64) -> String {
    format!("C#{seq:020}")
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

impl<E: Entity> Record<E> {
    /// The log entry. `before` is when the one before it was made, `until` the last seq of its atomic batch.
    pub(super) fn log_entry(
        &self,
        scope: &str,
        before: Option<Timestamp>,
        until: Option<u64>,
        kept: Retention,
    ) -> Result<Item, ApiError> {
        let mut item = self.image(scope, log_key(self.seq))?;
        item.insert(BEFORE.to_owned(), number(before.map_or(0, Timestamp::as_millisecond)));
        item.extend(until.map(|seq| (UNTIL.to_owned(), number(seq))));
        self.expire(&mut item, kept.of_log_entries());
        Ok(item)
    }

    pub(super) fn image(&self, scope: &str, sort_key: String) -> Result<Item, ApiError> {
        let mut item = Item::from([
            ("pk".to_owned(), text(scope)),
            ("sk".to_owned(), text(sort_key)),
            ("id".to_owned(), text(self.id.as_str())),
            ("version".to_owned(), number(self.version)),
            ("seq".to_owned(), number(self.seq)),
            ("at".to_owned(), number(self.at.as_millisecond())),
        ]);
        match &self.value {
            Some(entity) => item.insert(DATA.to_owned(), to_attribute_value(entity).map_err(ApiError::internal)?),
            None => item.insert("deleted".to_owned(), AttributeValue::Bool(true)),
        };
        Ok(item)
    }

    pub(super) fn expire(&self, item: &mut Item, after: Duration) {
        let seconds = self.at.as_second().saturating_add_unsigned(after.as_secs());
        item.insert("expiresAt".to_owned(), number(seconds));
    }

    /// Reads a row or a log entry.
    pub(super) fn from_item(item: &Item) -> Result<Self, ApiError> {
        let id = attribute(item, "id")?.as_s().ok().and_then(|id| id.parse().ok()).ok_or_else(|| unreadable("id"))?;
        let data = item.get(DATA).cloned().map(from_attribute_value);
        let (version, seq, at) = (integer(item, "version")?, integer(item, "seq")?, integer(item, "at")?);
        Stored { id, version, seq, data: data.transpose().map_err(ApiError::internal)?, at }.try_into()
    }
}

/// The attributes of a row or a log entry that make a record.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
pub(super) struct Stored<E> {
    id: Id,
    version: u64,
    seq: u64,
    #[serde(default = "Option::default", deserialize_with = "some")]
    data: Option<E>,
    at: i64,
}

/// An entity that is there. Only one that is absent has been deleted.
fn some<'de, D: Deserializer<'de>, E: Deserialize<'de>>(deserializer: D) -> Result<Option<E>, D::Error> {
    E::deserialize(deserializer).map(Some)
}

impl<E> TryFrom<Stored<E>> for Record<E> {
    type Error = ApiError;

    fn try_from(Stored { id, version, seq, data, at }: Stored<E>) -> Result<Self, ApiError> {
        let at = Timestamp::from_millisecond(at).map_err(ApiError::internal)?;
        Ok(Self { id, version, seq, value: data, at })
    }
}

/// A row as it is stored: its newest record, and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row<E> {
    pub(super) record: Record<E>,
    /// The seqs of the last versions, this one included, so that an older version can be found in the log.
    seqs: Vec<u64>,
    /// The last client mutations that changed the row, so that a retry is recognised.
    mutations: Vec<String>,
}

/// How many versions and mutations a row remembers.
const MEMORY: usize = 8;

impl<E: Entity> Row<E> {
    fn first(record: Record<E>) -> Self {
        Self { seqs: vec![record.seq], mutations: Vec::new(), record }
    }

    /// The row after a change of what it was before.
    pub(super) fn after(before: Option<&Self>, record: Record<E>, mutation: Option<&MutationId>) -> Self {
        let mut row = Self::first(record);
        if let Some(before) = before {
            row.seqs.splice(0..0, newest(&before.seqs, MEMORY - 1).iter().copied());
            row.mutations.extend_from_slice(newest(&before.mutations, MEMORY - usize::from(mutation.is_some())));
        }
        row.mutations.extend(mutation.map(ToString::to_string));
        row
    }

    /// Whether a mutation has changed this row before.
    ///
    /// # Errors
    /// `IDEMPOTENCY_MISMATCH` when its id came with another content.
    pub(super) fn knows(&self, mutation: &MutationId) -> Result<bool, ApiError> {
        match self.mutations.iter().find(|known| mutation.has_id_of(known)) {
            Some(known) => mutation.is(known).map(|()| true),
            None => Ok(false),
        }
    }

    /// The seq of one of the last versions.
    pub(super) fn seq_of(&self, version: u64) -> Option<u64> {
        let back = self.record.version.checked_sub(version)?;
        let index = self.seqs.len().checked_sub(1)?.checked_sub(usize::try_from(back).ok()?)?;
        self.seqs.get(index).copied()
    }

    pub(super) fn item(&self, scope: &str, kept: Retention) -> Result<Item, ApiError> {
        let mut item = self.record.image(scope, row_key(&self.record.id))?;
        let seqs = self.seqs.iter().map(|seq| number(*seq)).collect();
        item.insert("seqs".to_owned(), AttributeValue::L(seqs));
        if !self.mutations.is_empty() {
            let mutations = self.mutations.iter().map(text).collect();
            item.insert("mutations".to_owned(), AttributeValue::L(mutations));
        }
        match &self.record.value {
            Some(entity) => {
                item.extend(entity.index_attributes().into_iter().map(|(name, value)| (name.to_owned(), text(value))));
            }
            None => self.record.expire(&mut item, kept.of_tombstones()),
        }
        Ok(item)
    }

    pub(super) fn from_item(item: &Item) -> Result<Self, ApiError> {
        let list = |name: &str| item.get(name).and_then(|list| list.as_l().ok()).map_or(&[][..], Vec::as_slice);
        Ok(Self {
            record: Record::from_item(item)?,
            seqs: list("seqs").iter().filter_map(|seq| seq.as_n().ok()?.parse().ok()).collect(),
            mutations: list("mutations").iter().filter_map(|known| known.as_s().ok().cloned()).collect(),
        })
    }
}

fn newest<T>(list: &[T], count: usize) -> &[T] {
    &list[list.len().saturating_sub(count)..]
}

/// About how many bytes an item has, counted as DynamoDB counts them.
pub(super) fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::M(map) => 3 + size(map),
        AttributeValue::L(list) => 3 + list.iter().map(size_of_value).sum::<usize>(),
        _ => 1,
    }
}

pub(super) fn integer<N: std::str::FromStr>(item: &Item, name: &str) -> Result<N, ApiError> {
    attribute(item, name)?.as_n().ok().and_then(|n| n.parse().ok()).ok_or_else(|| unreadable(name))
}

fn attribute<'a>(item: &'a Item, name: &str) -> Result<&'a AttributeValue, ApiError> {
    item.get(name).ok_or_else(|| unreadable(name))
}

fn unreadable(name: &str) -> ApiError {
    ApiError::internal(format!("a stored item has no usable attribute {name}"))
}

/// A name for a log that no other has, whichever process makes it.
pub fn new_epoch() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The head of a scope.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) epoch: String,
    pub(super) at: Timestamp,
}

impl Head {
    pub(super) fn from_item(item: &Item) -> Result<Self, ApiError> {
        let epoch = attribute(item, "epoch")?.as_s().map_err(|_| unreadable("epoch"))?.clone();
        let at = Timestamp::from_millisecond(integer(item, "at")?).map_err(ApiError::internal)?;
        Ok(Self { seq: integer(item, "seq")?, epoch, at })
    }

    fn item(&self, scope: &str) -> Item {
        Item::from([
            ("pk".to_owned(), text(scope)),
            ("sk".to_owned(), text(HEAD)),
            ("seq".to_owned(), number(self.seq)),
            ("epoch".to_owned(), text(&*self.epoch)),
            ("at".to_owned(), number(self.at.as_millisecond())),
        ])
    }
}

/// All items of a scope that starts with these entities, each as the first version: for imports and demo data.
///
/// # Errors
/// When an entity cannot be written as a DynamoDB value.
pub fn initial_items<E: Entity>(
    scope: &str,
    entities: impl IntoIterator<Item = (Id, E)>,
    epoch: &str,
    at: Timestamp,
) -> Result<Vec<Item>, ApiError> {
    let mut items = Vec::new();
    let mut seq = 0;
    for (id, entity) in entities {
        seq += 1;
        let record = Record { id, version: 1, seq, value: Some(entity), at };
        items.push(record.log_entry(scope, (seq > 1).then_some(at), None, Retention::default())?);
        items.push(Row::first(record).item(scope, Retention::default())?);
    }
    items.push(Head { seq, epoch: epoch.to_owned(), at }.item(scope));
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_reaches_back_further_than_a_full_sync_replays() {
        let read = |seconds: &str| Retention::from_env(&[("SYNC_RETENTION_SECONDS", seconds)].into_iter().collect());
        assert_eq!(read("").expect("the default"), Retention::of(Duration::from_hours(90 * 24)));
        assert_eq!(read("70").expect("the least"), Retention::of(Duration::from_secs(70)));
        for bad in ["0", "69", "-1", "x"] {
            assert!(read(bad).expect_err(bad).to_string().starts_with("SYNC_RETENTION_SECONDS is "), "{bad}");
        }
    }
}
