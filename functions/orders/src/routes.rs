//! The routes of orders. Somebody else's order does not exist: the store is only asked for the caller's own.

use axum::{
    Router,
    extract::{DefaultBodyLimit, State as AxumState},
    response::Response,
    routing::{get, post},
};
use http::{
    HeaderValue, StatusCode,
    header::{ETAG, LOCATION},
};
use products::Products;
use serde_json::{Map, Value, json};
use shared::{
    ApiError, Code, Id,
    config::ConfigError,
    delta::{Effect, Outcome, Record, Retention, SyncTokens},
    http::{
        auth::Caller,
        batch::{BATCH_BODY_LIMIT, Batch, Results},
        cache,
        call::Call,
        context::{V1, V2},
        edit::{ConflictQuery, Edit},
        extract::{Json, MergePatch, OptionalJson, PathId, Query},
        idempotency::{IDEMPOTENT_REPLAYED, IdempotencyKey},
        page::PageQuery,
        precondition::{Preconditions, ServerCopy, etag},
        sync::{self, Source, SyncQuery, Tombstone},
        view::{self, Shape, ViewQuery},
    },
    runtime::App,
    slim::{Level, Selection},
};

use crate::{
    model::{Order, OrderDraft},
    pricing::Pricing,
    store::{Orders, orders, scope_of},
    write::{self, Delete, Merge, Patch, Put, Refused, Write},
};

/// What the routes work with.
#[derive(Clone, Debug)]
pub struct State {
    /// The orders.
    pub orders: Orders,
    /// The catalogue, for names and prices.
    pub products: Products,
    /// Makes and reads sync tokens; nothing where only orders are read.
    pub sync: Option<SyncTokens>,
}

impl State {
    /// Reads `ORDERS_TABLE`, `BACKEND_PRODUCTS_URL` or `PRODUCTS_TABLE`, `SYNC_SECRET` or `SYNC_SECRET_ID`, and `SYNC_RETENTION_SECONDS`.
    ///
    /// # Errors
    /// When one of them is not set or not valid.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { sync: Some(SyncTokens::from_env(&app.env, &app.aws.secrets)?), ..Self::for_reading(app)? })
    }

    /// For another group that only reads orders: without sync tokens.
    ///
    /// # Errors
    /// When a table is not set, or the retention not valid.
    pub fn for_reading(app: &App) -> Result<Self, ConfigError> {
        let client = &app.aws.dynamodb;
        Ok(Self {
            sync: None,
            orders: orders(client.clone(), app.env.required("ORDERS_TABLE")?).keeping(Retention::from_env(&app.env)?),
            products: Products::of(app)?,
        })
    }
}

impl State {
    fn source<'a>(&'a self, scope: &'a str, view: &'a ViewQuery) -> Result<Source<'a, Order, Self>, ApiError> {
        let tokens = self.sync.as_ref().ok_or_else(|| ApiError::internal("this process has no sync tokens"))?;
        Ok(Source { log: &self.orders, tokens, scope, view, state: self })
    }
}

/// `/api/{v1,v2}/orders` and `/api/{v1,v2}/orders/{id}`.
pub fn router(state: State) -> Router {
    Router::new().merge(version::<V1>()).merge(version::<V2>()).with_state(state)
}

fn version<V: Shape<Record<Order>, State>>() -> Router<State> {
    let orders = format!("/api/{}/orders", V::VERSION.as_str());
    let one = get(show::<V>).put(replace::<V>).patch(edit::<V>).delete(remove::<V>);
    Router::new()
        .route(&orders, cache::private(get(list::<V>).post(create::<V>)))
        .route(&format!("{orders}/delta"), get(delta::<V>))
        .route(&format!("{orders}/batch"), post(batch::<V>).layer(DefaultBodyLimit::max(BATCH_BODY_LIMIT)))
        .route(&format!("{orders}/{{id}}"), cache::private(one))
}

async fn list<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    Query(page): Query<PageQuery>,
    Query(query): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let page = page.check()?;
    let selection = query.select::<V, _, _>(Level::Full)?;
    let records = state.orders.list(&scope_of(&caller.user), &page).await?;
    view::page(&records.views(|record| V::view(record, &state)), &selection)
}

/// What has changed since the client last asked.
async fn delta<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    Query(query): Query<SyncQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    state.source(&scope_of(&caller.user), &view)?.answer::<V>(&query).await
}

/// Many writes at once, and with `since` what has changed besides: one round trip syncs a phone.
async fn batch<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    call: Call,
    Query(query): Query<SyncQuery>,
    Query(view): Query<ViewQuery>,
    Query(ConflictQuery { on_conflict }): Query<ConflictQuery>,
    Json(batch): Json<Batch>,
) -> Result<Response, ApiError> {
    let selection = view.select_after_write::<V, _, _>()?;
    let scope = scope_of(&caller.user);
    let source = state.source(&scope, &view)?;
    source.check::<V>(&query)?;
    let pricing = Pricing::new(&state.products, &call);
    let merge = on_conflict.map(|_| Merge { orders: state.orders.clone(), scope: scope.clone() });
    let mut writes = batch.mutations(|mutation| Write::of(mutation, &pricing, merge.as_ref()))?;
    pricing.look_up(writes.iter().flat_map(|write| write.decision.products())).await?;
    let outcomes = state.orders.write_batch(&scope, &mut writes, batch.atomic).await?;
    let outcomes = writes
        .iter()
        .zip(outcomes)
        .map(|(write, outcome)| outcome.map_err(refusal::<V>(&state, &write.id, &selection)));
    Results::new::<V, _, _>(&batch, outcomes, &selection, &state)?.answer::<V, _, _>(&source, &query).await
}

async fn show<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    PathId(id): PathId,
    Query(query): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let selection = query.select::<V, _, _>(Level::Full)?;
    let unknown = || ApiError::not_found(format!("There is no order {id}."));
    let record = state.orders.get(&scope_of(&caller.user), &id).await?.ok_or_else(unknown)?;
    let view = V::view(&record, &state).ok_or_else(unknown)?;
    let mut response = view::one(&view, &selection)?;
    response.headers_mut().insert(ETAG, etag(record.version));
    Ok(response)
}

/// A new order with an id that the server makes; with an `Idempotency-Key`, once however often it is sent.
async fn create<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    call: Call,
    key: IdempotencyKey,
    Query(query): Query<ViewQuery>,
    Json(draft): Json<OrderDraft>,
) -> Result<Response, ApiError> {
    let selection = query.select_after_write::<V, _, _>()?;
    let id = Id::generate();
    let once = key.once("POST orders", &draft)?;
    let put = Write::Put(Put::new(Pricing::new(&state.products, &call), write::absent(), draft)?);
    let outcome = state.orders.write_once(&scope_of(&caller.user), &id, put, once.as_ref()).await;
    let id = match &outcome {
        Ok(Outcome { record: Some(record), .. }) => record.id.clone(),
        _ => id,
    };
    let replayed = matches!(&outcome, Ok(outcome) if outcome.effect == Effect::Replayed);
    let mut response = stored::<V>(&state, &id, outcome, &selection)?;
    // Relative to the request's own path, since only the front door knows what stands in front of it.
    let place = HeaderValue::from_str(&format!("orders/{id}")).map_err(ApiError::internal)?;
    response.headers_mut().insert(LOCATION, place);
    response.headers_mut().extend(replayed.then_some(IDEMPOTENT_REPLAYED));
    Ok(response)
}

/// Creates (`version` 0, or `If-None-Match: *`) or replaces an order under an id that the client makes.
async fn replace<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    call: Call,
    PathId(id): PathId,
    preconditions: Preconditions,
    Query(query): Query<ViewQuery>,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let selection = query.select_after_write::<V, _, _>()?;
    let edit = Edit::of(body, Some(&id))?;
    let draft: OrderDraft = edit.parse()?;
    let expected = preconditions.require(edit.version)?;
    let put = Write::Put(Put::new(Pricing::new(&state.products, &call), expected, draft)?);
    let written = state.orders.write(&scope_of(&caller.user), &id, put).await;
    stored::<V>(&state, &id, written, &selection)
}

// One for each thing that is read of the request.
#[allow(clippy::too_many_arguments)]
async fn edit<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    call: Call,
    PathId(id): PathId,
    preconditions: Preconditions,
    Query(query): Query<ViewQuery>,
    Query(ConflictQuery { on_conflict }): Query<ConflictQuery>,
    MergePatch(patch): MergePatch,
) -> Result<Response, ApiError> {
    let selection = query.select_after_write::<V, _, _>()?;
    let edit = Edit::of(patch, Some(&id))?;
    let expected = preconditions.require(edit.version)?;
    let scope = scope_of(&caller.user);
    let merge = on_conflict.map(|_| Merge { orders: state.orders.clone(), scope: scope.clone() });
    let patch = Write::Patch(Patch::new(Pricing::new(&state.products, &call), id.clone(), expected, edit, merge));
    let written = state.orders.write(&scope, &id, patch).await;
    stored::<V>(&state, &id, written, &selection)
}

async fn remove<V: Shape<Record<Order>, State>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    PathId(id): PathId,
    preconditions: Preconditions,
    Query(query): Query<ViewQuery>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, ApiError> {
    let selection = query.select_after_write::<V, _, _>()?;
    let said = Edit::of(body, Some(&id))?;
    if let Some(field) = said.content.keys().next() {
        return Err(ApiError::validation(field, "unknown field; a deletion takes only a version"));
    }
    let expected = preconditions.join(said.version)?;
    let written = state.orders.write(&scope_of(&caller.user), &id, Write::Delete(Delete(expected))).await;
    let outcome = written.map_err(refusal::<V>(&state, &id, &selection))?;
    let version = outcome.record.map_or(0, |record| record.version);
    view::json(StatusCode::OK, &Tombstone::new(&id, version))
}

/// The answer to a write: the whole stored order; 201 when there was none.
fn stored<V: Shape<Record<Order>, State>>(
    state: &State,
    id: &Id,
    written: Result<Outcome<Order>, Refused>,
    selection: &Selection,
) -> Result<Response, ApiError> {
    let outcome = written.map_err(refusal::<V>(state, id, selection))?;
    let record = outcome.record.ok_or_else(|| ApiError::internal("a write left no order behind"))?;
    let mut response = view::one(&V::view(&record, state), selection)?;
    if matches!(outcome.effect, Effect::Created | Effect::Replayed) {
        *response.status_mut() = StatusCode::CREATED;
    }
    response.headers_mut().insert(ETAG, etag(record.version));
    Ok(response)
}

/// Turns a refused write into its error, with the server's copy in the caller's own view.
fn refusal<V: Shape<Record<Order>, State>>(
    state: &State,
    id: &Id,
    selection: &Selection,
) -> impl Fn(Refused) -> ApiError {
    let shown = move |current: Option<&Record<Order>>| {
        let version = current.map_or(0, |record| record.version);
        let current = match current.filter(|record| record.value.is_some()) {
            Some(record) => sync::item::<V, _, _>(record, selection, state)?,
            None => json!(Tombstone::new(id, version)),
        };
        Ok(ServerCopy { version, current })
    };
    move |refused| match refused {
        Refused::Error(error) => error,
        Refused::Conflict(expected, current) => {
            shown(current.as_deref()).map_or_else(|error: ApiError| error, |copy| expected.refuse(copy))
        }
        Refused::Closed(current) => {
            let message = "The shop has taken this order on; it can no longer be changed.";
            shown(Some(&current)).map_or_else(|error| error, |copy| copy.in_conflict(Code::Conflict, message))
        }
    }
}
