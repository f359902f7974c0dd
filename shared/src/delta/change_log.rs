//! Reading rows.

use std::{collections::HashSet, marker::PhantomData};

use aws_sdk_dynamodb::Client;

use super::{
    DynamoStore, Entity, Record, Retention,
    schema::{FIRST_ROW, LAST_ROW, Row, log_key, row_key},
    store::{Found, Index, Range, Store},
};
use crate::{
    Id,
    error::ApiError,
    http::page::{Page, PageRequest, cursor_after},
};

/// The scopes of one kind of entity in a store. Cheap to clone.
#[derive(Debug)]
pub struct ChangeLog<E, S = DynamoStore> {
    pub(super) store: S,
    pub(super) retention: Retention,
    strong: bool,
    entity: PhantomData<fn() -> E>,
}

impl<E, S: Clone> Clone for ChangeLog<E, S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), entity: PhantomData, ..*self }
    }
}

impl<E: Entity> ChangeLog<E> {
    /// A change log on a DynamoDB table with the keys `pk` and `sk`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self::on(DynamoStore::new(client, table))
    }
}

impl<E: Entity, S: Store> ChangeLog<E, S> {
    /// A change log on any store.
    pub fn on(store: S) -> Self {
        Self { store, retention: Retention::default(), strong: true, entity: PhantomData }
    }

    /// Reads at half the cost, of a state that may be a moment old. Writes and deltas are not affected.
    #[must_use]
    pub fn eventually_consistent(mut self) -> Self {
        self.strong = false;
        self
    }

    /// Keeps the log for another time than 90 days.
    #[must_use]
    pub fn keeping(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// The current row, tombstones included.
    ///
    /// # Errors
    /// When the store fails, see [`store_error`](crate::backend::dynamo::store_error).
    pub async fn get(&self, scope: &str, id: &Id) -> Result<Option<Record<E>>, ApiError> {
        Ok(self.row(scope, id, self.strong).await?.map(|row| row.record))
    }

    pub(super) async fn row(&self, scope: &str, id: &Id, strong: bool) -> Result<Option<Row<E>>, ApiError> {
        self.store.get(scope, &row_key(id), strong).await?.as_ref().map(Row::from_item).transpose()
    }

    /// What a row was at an earlier version. The last eight versions are known, as far as the log reaches back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn at_version(&self, scope: &str, id: &Id, version: u64) -> Result<Option<Record<E>>, ApiError> {
        let row = self.row(scope, id, true).await?;
        let Some(seq) = row.and_then(|row| row.seq_of(version)) else { return Ok(None) };
        let entry = self.store.get(scope, &log_key(seq), true).await?;
        let record = entry.as_ref().map(Record::from_item).transpose()?;
        // A row that was gone for so long that it began anew has other versions under the same numbers.
        Ok(record.filter(|record| record.id == *id && record.version == version))
    }

    /// The live rows of a scope by descending id, so that ids made by the server come newest first.
    ///
    /// A page may be short of its limit while it has a cursor: deleted rows are passed over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, scope: &str, page: &PageRequest) -> Result<Page<Record<E>>, ApiError> {
        self.page(None, scope, page).await
    }

    /// Like [`list`](Self::list), over a secondary index: the rows whose attribute has this value. Index reads are
    /// eventually consistent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_by(&self, index: Index, value: &str, page: &PageRequest) -> Result<Page<Record<E>>, ApiError> {
        self.page(Some(index), value, page).await
    }

    async fn page(
        &self,
        index: Option<Index>,
        partition: &str,
        page: &PageRequest,
    ) -> Result<Page<Record<E>>, ApiError> {
        let limit = usize::from(page.limit);
        let range = Range {
            index,
            partition,
            first: FIRST_ROW.into(),
            last: page.after.as_ref().map_or_else(|| LAST_ROW.into(), row_key),
            backward: true,
            strong: self.strong,
            // One for the row of the cursor, which the range includes, and one to see whether there is more.
            limit: page.limit.saturating_add(2),
        };
        let Found { items: mut rows, more } = self.store.records(range).await?;
        rows.retain(|row: &Record<E>| page.after.as_ref() != Some(&row.id));
        let more = more || rows.len() > limit;
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
        let newest = newest_entries(scope, u64::MAX, limit.saturating_mul(4), self.strong);
        let mut seen = HashSet::new();
        let mut recent = Vec::new();
        for record in self.store.records::<E>(newest).await?.items {
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
}

/// The log from one seq down.
pub(super) fn newest_entries(scope: &str, from: u64, limit: u16, strong: bool) -> Range<'_> {
    Range { index: None, partition: scope, first: log_key(0), last: log_key(from), backward: true, strong, limit }
}
