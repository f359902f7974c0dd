//! The routes of products. They are public: a token changes nothing.

use std::pin::pin;

use axum::{Router, extract::State as AxumState, response::Response, routing::get};
use http::header::ETAG;
use serde::Deserialize;
use shared::{
    ApiError,
    config::ConfigError,
    delta::{Record, SyncTokens},
    http::{
        cache::{self, Conditions, Tag},
        call::Call,
        context::{V1, V2},
        extract::{PathId, Query},
        page::PageQuery,
        precondition::etag,
        sync::{Source, SyncQuery},
        view::{self, Shape, ViewQuery},
    },
    image::Images,
    runtime::App,
    slim::Level,
};

use crate::{
    model::Product,
    store::{Products, SCOPE},
    view::Context,
};

/// What the routes work with.
#[derive(Clone, Debug)]
pub struct State {
    /// The catalogue.
    pub products: Products,
    /// Addresses of photos.
    pub images: Images,
    /// Makes and reads sync tokens; nothing where products are only read, or have no change log.
    pub sync: Option<SyncTokens>,
}

impl State {
    /// Reads `BACKEND_PRODUCTS_URL`, or `PRODUCTS_TABLE` with `SYNC_SECRET` or `SYNC_SECRET_ID`; and `IMAGES_URL` with
    /// `IMAGES_SECRET` or `IMAGES_SECRET_ID`.
    ///
    /// # Errors
    /// When one of them is not set or not valid.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let mut state = Self::for_reading(app)?;
        if state.products.log().is_some() {
            state.sync = Some(SyncTokens::from_env(&app.env, &app.aws.secrets)?);
        }
        Ok(state)
    }

    /// For another group that only reads products: without sync tokens.
    ///
    /// # Errors
    /// When there is no catalogue, or the secret of images is not valid.
    pub fn for_reading(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { products: Products::of(app)?, images: Images::from_env(&app.env, &app.aws.secrets)?, sync: None })
    }

    /// What views need, as it is now.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the secret of images cannot be read.
    pub async fn context(&self) -> Result<Context, ApiError> {
        Ok(Context { images: self.images.addresses().await? })
    }

    /// The tag of the answer to what is asked of the catalogue as it is, unless it changed a moment ago, or nobody knows
    /// when it did. Another release may show it differently.
    async fn tag(&self, asked: &str, context: &Context) -> Result<Option<Tag>, ApiError> {
        let Some(log) = self.products.log() else { return Ok(None) };
        let state = log.settled_state(SCOPE).await?;
        Ok(state.map(|state| Tag::of_state(&[&state, asked, &context.images.today(), env!("CARGO_PKG_VERSION")])))
    }
}

/// `GET /api/{v1,v2}/products`, `GET /api/{v1,v2}/products/{id}` and `GET /api/v2/products/delta`.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/api/v1/products", cache::public(get(list::<V1>)))
        .route("/api/v2/products", cache::public(get(list::<V2>)))
        .route("/api/v2/products/delta", get(delta::<V2>))
        .route("/api/v1/products/{id}", cache::public(get(show::<V1>)))
        .route("/api/v2/products/{id}", cache::public(get(show::<V2>)))
        .with_state(state)
}

#[derive(Debug, Deserialize)]
struct Filter {
    category: Option<String>,
}

/// A page. A client that has it costs one small read, of the catalogue's state.
async fn list<V: Shape<Record<Product>, Context>>(
    AxumState(state): AxumState<State>,
    call: Call,
    conditions: Conditions,
    Query(filter): Query<Filter>,
    Query(page): Query<PageQuery>,
    Query(query): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let category = filter.category.as_deref();
    if category.is_some_and(|name| name.is_empty() || name.len() > 64) {
        return Err(ApiError::validation("category", "must have 1 to 64 bytes"));
    }
    let page = page.check()?;
    let selection = query.select::<V, _, _>(Level::Full)?;
    let asked = format!("{}:{}:{page:?}:{category:?}", V::VERSION.as_str(), selection.canonical());
    let context = state.context().await?;
    let (tag, records) = (pin!(state.tag(&asked, &context)), pin!(state.products.list(category, &page, &call)));
    let (tag, records) = if conditions.are_named() {
        let tag = tag.await?;
        if let Some(unmodified) = tag.as_ref().and_then(|tag| conditions.unmodified(tag)) {
            return Ok(unmodified);
        }
        (tag, records.await?)
    } else {
        tokio::try_join!(tag, records)?
    };
    let mut response = view::page(&records.views(|record| V::view(record, &context)), &selection)?;
    response.headers_mut().extend(tag.map(|tag| (ETAG, tag.value())));
    call.describe(response.headers_mut());
    Ok(response)
}

/// What has changed in the catalogue since the client last asked. Only a catalogue of ours keeps account of that.
async fn delta<V: Shape<Record<Product>, Context>>(
    AxumState(state): AxumState<State>,
    Query(query): Query<SyncQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let log = state.products.log().ok_or_else(|| {
        ApiError::not_found("This catalogue has no deltas: it comes from another service. Read it in pages.")
    })?;
    let tokens = state.sync.as_ref().ok_or_else(|| ApiError::internal("this process has no sync tokens"))?;
    let context = state.context().await?;
    let source = Source { log, tokens, scope: SCOPE, view: &view, state: &context };
    source.answer::<V>(&query).await
}

async fn show<V: Shape<Record<Product>, Context>>(
    AxumState(state): AxumState<State>,
    call: Call,
    PathId(id): PathId,
    Query(query): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found(format!("There is no product {id}."));
    let selection = query.select::<V, _, _>(Level::Full)?;
    let record = state.products.get(&id, &call).await?.ok_or_else(unknown)?;
    let view = V::view(&record, &state.context().await?).ok_or_else(unknown)?;
    let mut response = view::one(&view, &selection)?;
    response.headers_mut().insert(ETAG, etag(record.version));
    call.describe(response.headers_mut());
    Ok(response)
}
