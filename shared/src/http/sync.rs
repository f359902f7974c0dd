//! Deltas of a change log on the wire, whatever the entity.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    context::ApiVersion,
    page::limit,
    view::{self, Shape, ViewQuery},
};
use crate::{
    Id,
    delta::{ChangeLog, Entity, Record, SyncRequest, SyncTokens, view_hash},
    error::ApiError,
    slim::{Level, Selection},
};

const DEFAULT_LIMIT: u16 = 100;
const MAX_LIMIT: u16 = 500;

/// The query parameters of a delta route, besides those of the view.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SyncQuery {
    since: Option<String>,
    limit: Option<String>,
}

impl SyncQuery {
    fn limit(&self) -> Result<u16, ApiError> {
        limit(self.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT)
    }
}

/// What a delta is made from: a scope of a change log, and the view that the client asked for.
#[derive(Debug)]
pub struct Source<'a, E, S> {
    /// The log.
    pub log: &'a ChangeLog<E>,
    /// Makes and reads tokens.
    pub tokens: &'a SyncTokens,
    /// Whose changes.
    pub scope: &'a str,
    /// Level and fields.
    pub view: &'a ViewQuery,
    /// What the view needs besides.
    pub state: &'a S,
}

/// One page of changes on the wire: `{"items":[…],"syncToken":"…","hasMore":false,"fullSync":false}`. Version 1 has no
/// `fullSync`.
///
/// Each item has `id` and `version`, whatever the level; a deleted one has `"deleted":true` and nothing else.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeltaPage {
    items: Vec<Value>,
    sync_token: String,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_sync: Option<bool>,
}

impl<E: Entity, S> Source<'_, E, S> {
    /// Answers `GET …/delta`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `INVALID_SYNC_TOKEN`, `SYNC_TOKEN_EXPIRED`, and what the store's failures mean.
    pub async fn answer<V: Shape<Record<E>, S>>(&self, query: &SyncQuery) -> Result<Response, ApiError> {
        view::json(StatusCode::OK, &self.page::<V>(query.since.as_deref(), query).await?)
    }

    /// Checks everything in the query but the token.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`.
    pub fn check<V: Shape<Record<E>, S>>(&self, query: &SyncQuery) -> Result<(), ApiError> {
        self.view.select::<V, _, _>(Level::Full)?;
        query.limit().map(drop)
    }

    /// The page after a token; the first one without a token or with an empty one.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub async fn page<V: Shape<Record<E>, S>>(
        &self,
        since: Option<&str>,
        query: &SyncQuery,
    ) -> Result<DeltaPage, ApiError> {
        let selection = self.view.select::<V, _, _>(Level::Full)?;
        let limit = query.limit()?;
        let since = match since.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(self.tokens.open(self.scope, token).await?),
        };
        let view = view_hash(&format!("{}:{}{}", V::VERSION.as_str(), selection.canonical(), V::edition(self.state)));
        let page = self.log.changes(self.scope, &SyncRequest { since, limit, view }).await?;
        let items = page.items.iter().map(|record| item::<V, E, S>(record, &selection, self.state));
        Ok(DeltaPage {
            items: items.collect::<Result<_, _>>()?,
            sync_token: self.tokens.seal(self.scope, &page.bookmark).await?,
            has_more: page.has_more,
            full_sync: (V::VERSION != ApiVersion::V1).then_some(page.full_sync),
        })
    }
}

/// What is left of a deleted thing.
#[derive(Debug, Serialize)]
pub struct Tombstone<'a> {
    id: &'a Id,
    version: u64,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'a> Tombstone<'a> {
    /// As the answer to a write: `{"id":"…","version":3,"deleted":true}`. Version 0 says that there never was anything.
    pub fn new(id: &'a Id, version: u64) -> Self {
        Self { id, version, deleted: true, reason: None }
    }
}

/// The caller's view of a change. A sync client cannot do without `id` and `version`, so they come first and always.
///
/// # Errors
/// `INTERNAL` when the view cannot be written as JSON.
pub fn item<V, E, S>(record: &Record<E>, selection: &Selection, state: &S) -> Result<Value, ApiError>
where
    V: Shape<Record<E>, S>,
    E: Entity,
{
    let Some(shown) = V::view(record, state) else {
        return Ok(json!(Tombstone { reason: Some("deleted"), ..Tombstone::new(&record.id, record.version) }));
    };
    let mut members = Map::new();
    members.insert("id".into(), json!(record.id));
    members.insert("version".into(), json!(record.version));
    if let Value::Object(view) = view::value(&shown, selection)? {
        members.extend(view);
    }
    Ok(members.into())
}
