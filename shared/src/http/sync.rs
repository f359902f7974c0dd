//! The delta route of a change log, whatever the entity.

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

/// Answers `GET …/delta`: `{"items":[…],"syncToken":"…","hasMore":false,"fullSync":false}`. Version 1 has no `fullSync`.
///
/// Each item has `id` and `version`, whatever the level; a deleted one has `"deleted":true` and nothing else.
///
/// # Errors
/// `VALIDATION_ERROR`, `INVALID_SYNC_TOKEN`, `SYNC_TOKEN_EXPIRED`, and what the store's failures mean.
pub async fn delta<V, E, S>(
    log: &ChangeLog<E>,
    tokens: &SyncTokens,
    scope: &str,
    query: &SyncQuery,
    view: &ViewQuery,
    state: &S,
) -> Result<Response, ApiError>
where
    V: Shape<Record<E>, S>,
    E: Entity,
{
    let selection = view.select::<V, _, _>(Level::Full)?;
    let limit = limit(query.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT)?;
    let since = match query.since.as_deref().filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(tokens.open(scope, token).await?),
    };
    let view = view_hash(&format!("{}:{}", V::VERSION.as_str(), selection.canonical()));
    let page = log.changes(scope, &SyncRequest { since, limit, view }).await?;

    let items = page.items.iter().map(|record| item::<V, E, S>(record, &selection, state));
    let body = Body {
        items: items.collect::<Result<_, _>>()?,
        sync_token: tokens.seal(scope, &page.bookmark).await?,
        has_more: page.has_more,
        full_sync: (V::VERSION != ApiVersion::V1).then_some(page.full_sync),
    };
    view::json(StatusCode::OK, &body)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    items: Vec<Value>,
    sync_token: String,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_sync: Option<bool>,
}

/// The caller's view of a change. A sync client cannot do without `id` and `version`, so they come first and always.
fn item<V, E, S>(record: &Record<E>, selection: &Selection, state: &S) -> Result<Value, ApiError>
where
    V: Shape<Record<E>, S>,
    E: Entity,
{
    let Some(shown) = V::view(record, state) else {
        return Ok(json!({ "id": record.id, "version": record.version, "deleted": true, "reason": "deleted" }));
    };
    let mut members = Map::new();
    members.insert("id".into(), json!(record.id));
    members.insert("version".into(), json!(record.version));
    if let Value::Object(view) = view::value(&shown, selection)? {
        members.extend(view);
    }
    Ok(members.into())
}
