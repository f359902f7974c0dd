//! The items of a scope's partition.
//!
//! | sort key | contents |
//! | --- | --- |
//! | `O#<id>` | the current row: version, seq, the entity or the mark of its deletion |
//! | `C#<seq, 20 digits>` | the log: what one change left behind |
//! | `C#HEAD` | the last seq, and the epoch of this log; sorts after the digits |
//! | `K#<hash>` | an idempotency key: what its first request has made |

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};

use super::Entity;
use crate::{Id, error::ApiError};

/// A DynamoDB item.
pub type Item = HashMap<String, AttributeValue>;

pub(super) const HEAD: &str = "C#HEAD";
/// Below every row, and above: '$' follows '#'.
pub(super) const FIRST_ROW: &str = "O#";
pub(super) const LAST_ROW: &str = "O$";
/// How long a log entry lives, so that a client that was away for a season still gets a delta.
pub(super) const LOG_RETENTION: Duration = Duration::from_hours(97 * 24);
/// A tombstone outlives the log, so that no client can bring back a row whose deletion it has not seen.
pub(super) const TOMBSTONE_RETENTION: Duration = Duration::from_hours(104 * 24);

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
    /// The current row.
    pub(super) fn row(&self, scope: &str) -> Result<Item, ApiError> {
        let mut item = self.image(scope, row_key(&self.id))?;
        match &self.value {
            Some(entity) => {
                item.extend(entity.index_attributes().into_iter().map(|(name, value)| (name.to_owned(), text(value))));
            }
            None => self.expire(&mut item, TOMBSTONE_RETENTION),
        }
        Ok(item)
    }

    /// The log entry.
    pub(super) fn log_entry(&self, scope: &str) -> Result<Item, ApiError> {
        let mut item = self.image(scope, log_key(self.seq))?;
        self.expire(&mut item, LOG_RETENTION);
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
            Some(entity) => item.insert("data".to_owned(), to_attribute_value(entity).map_err(ApiError::internal)?),
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
        let millis = integer::<i64>(item, "at")?;
        Ok(Self {
            id,
            version: integer(item, "version")?,
            seq: integer(item, "seq")?,
            value: match item.get("data") {
                Some(data) => Some(from_attribute_value(data.clone()).map_err(ApiError::internal)?),
                None => None,
            },
            at: Timestamp::from_millisecond(millis).map_err(ApiError::internal)?,
        })
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

/// The head of a scope.
pub(super) fn head(scope: &str, seq: u64, epoch: &str, at: Timestamp) -> Item {
    Item::from([
        ("pk".to_owned(), text(scope)),
        ("sk".to_owned(), text(HEAD)),
        ("seq".to_owned(), number(seq)),
        ("floor".to_owned(), number(0)),
        ("epoch".to_owned(), text(epoch)),
        ("at".to_owned(), number(at.as_millisecond())),
    ])
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
        items.push(record.row(scope)?);
        items.push(record.log_entry(scope)?);
    }
    items.push(head(scope, seq, epoch, at));
    Ok(items)
}
