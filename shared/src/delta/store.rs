//! What a change log needs of a store, and of its clock.
//!
//! [`DynamoStore`](super::DynamoStore) is the one that serves. The tests have another one, which shows a transaction's
//! items one by one and in any order, as DynamoDB may and as no emulator does.

use std::{fmt::Debug, future::Future, time::Duration};

use jiff::Timestamp;

use super::{Entity, Record, schema::Item};
use crate::error::ApiError;

/// Where the items of a change log live.
///
/// Only a commit is atomic. A query may see some items of a commit and not yet others, strongly consistent or not.
pub trait Store: Clone + Debug + Send + Sync + 'static {
    /// One item.
    ///
    /// # Errors
    /// When the store fails.
    fn get(
        &self,
        scope: &str,
        sort_key: &str,
        strong: bool,
    ) -> impl Future<Output = Result<Option<Item>, ApiError>> + Send;

    /// A stretch of one partition, in the order of its sort keys.
    ///
    /// # Errors
    /// When the store fails.
    fn query(&self, range: Range<'_>) -> impl Future<Output = Result<Found, ApiError>> + Send;

    /// The same, of rows or log entries, for a store that can make records of them at less cost.
    ///
    /// # Errors
    /// When the store fails, or an item is no record.
    fn records<E: Entity>(&self, range: Range<'_>) -> impl Future<Output = Result<Found<Record<E>>, ApiError>> + Send {
        async {
            let Found { items, more } = self.query(range).await?;
            let items = items.iter().map(Record::from_item).collect::<Result<_, _>>()?;
            Ok(Found { items, more })
        }
    }

    /// Stores everything, or nothing and says why.
    ///
    /// # Errors
    /// When the store fails; the commit may then have happened all the same.
    fn commit(&self, commit: Commit<'_>) -> impl Future<Output = Result<Result<(), Refusal>, ApiError>> + Send;

    /// The present.
    fn now(&self) -> Timestamp;

    /// Lets time pass.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// A secondary index whose partition key is one of [`Entity::index_attributes`] and
/// whose sort key is `sk`.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// The index's name in the table.
    pub name: &'static str,
    /// The attribute that is its partition key.
    pub attribute: &'static str,
}

/// What a query reads: the sort keys from `first` to `last`, both included.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    /// The index; the table itself without one.
    pub index: Option<Index>,
    /// The value of the partition key.
    pub partition: &'a str,
    /// The lowest sort key.
    pub first: String,
    /// The highest sort key.
    pub last: String,
    /// Whether the highest comes first.
    pub backward: bool,
    /// Whether every finished write is seen. An index has no such reads.
    pub strong: bool,
    /// At most this many items.
    pub limit: u16,
}

/// What a query found.
#[derive(Clone, Debug, Default)]
pub struct Found<T = Item> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there may be more behind them: a limit was reached, or the store's own size of a page.
    pub more: bool,
}

/// One transaction: the head of a scope moves on, and items take their place.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// The partition.
    pub scope: &'a str,
    /// The seq that the head must have; 0 for a scope that has no head yet.
    pub from: u64,
    /// The seq that the head gets.
    pub to: u64,
    /// When.
    pub at: Timestamp,
    /// The epoch of the log, should it begin here.
    pub epoch: String,
    /// The items.
    pub puts: Vec<Put>,
}

/// One item of a commit, with its keys.
#[derive(Clone, Debug)]
pub struct Put {
    /// What is stored.
    pub item: Item,
    /// What must hold there before.
    pub when: When,
}

/// The condition of a [`Put`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// There is no such item.
    Absent,
    /// There is one whose attribute `version` is this.
    Version(u64),
    /// There is none, or its `expiresAt` is before this second. Items past their time may linger for days.
    AbsentOrExpired(i64),
}

/// Why a commit did nothing.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// A condition failed.
    Stale {
        /// The head's.
        head: Check,
        /// Those of the puts, in their order.
        puts: Vec<Check>,
    },
    /// Another transaction held one of the items.
    Contended,
}

/// How one item of a refused commit fared.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Its condition held.
    Held,
    /// Its condition failed, and the store returned what is there.
    Found(Item),
    /// Its condition failed, and the store returned nothing: not every store does, and there may be nothing. Or nothing is
    /// known of its condition.
    Unknown,
}
