//! A stand-in for the services that users and products may come from: the protocol of `docs/backends.md`, on the demo
//! data, in memory.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header::IF_MATCH};
use products::Product;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{Id, values::now};
use tokio::{net::TcpListener, task::JoinHandle};
use users::{Editable, User};

use crate::demo;

/// A running service. It stops when this is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    served: JoinHandle<()>,
}

#[derive(Debug)]
struct Data {
    users: Mutex<BTreeMap<Id, User>>,
    products: BTreeMap<Id, Product>,
}

impl Upstream {
    /// On any free port of this machine.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn on_any_port() -> io::Result<Self> {
        Self::start(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// Serves the demo data on this listener.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let routes = routes().map_err(io::Error::other)?;
        let served = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the upstream stopped");
            }
        });
        Ok(Self { address, served })
    }

    /// The value for `BACKEND_USERS_URL` and `BACKEND_PRODUCTS_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// The routes of the service, with demo data of their own.
///
/// # Errors
/// Never in practice: all of the data is made here.
pub fn routes() -> Result<Router, Box<dyn std::error::Error + Send + Sync>> {
    let users =
        (1..=demo::USERS).map(|n| demo::user(n).map(|user| (user.id.clone(), user))).collect::<Result<_, _>>()?;
    let products = demo::catalogue()?.into_iter().collect();
    Ok(Router::new()
        .route("/users/{id}", get(user).patch(edit_user))
        .route("/products", get(list))
        .route("/products/{id}", get(product))
        .with_state(Arc::new(Data { users: Mutex::new(users), products })))
}

impl Data {
    fn users(&self) -> MutexGuard<'_, BTreeMap<Id, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn user(State(data): State<Arc<Data>>, Path(id): Path<Id>) -> Result<Json<User>, StatusCode> {
    data.users().get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn edit_user(
    State(data): State<Arc<Data>>,
    Path(id): Path<Id>,
    headers: HeaderMap,
    Json(edit): Json<Editable>,
) -> Result<Json<User>, StatusCode> {
    let expected = headers.get(IF_MATCH).ok_or(StatusCode::PRECONDITION_REQUIRED)?;
    let mut users = data.users();
    let user = users.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    if expected != format!("\"{}\"", user.version).as_str() {
        return Err(StatusCode::PRECONDITION_FAILED);
    }
    let Editable { first_name, last_name, preferences } = edit;
    (user.first_name, user.last_name, user.preferences) = (first_name, last_name, preferences);
    user.version += 1;
    user.metadata.updated_at = now();
    Ok(Json(user.clone()))
}

#[derive(Debug, Deserialize)]
struct Asked {
    limit: usize,
    cursor: Option<Id>,
    category: Option<String>,
    #[serde(default)]
    featured: bool,
}

/// By descending id. The cursor is the last id of the page before.
async fn list(State(data): State<Arc<Data>>, Query(asked): Query<Asked>) -> Json<Value> {
    let end = asked.cursor.map_or(Bound::Unbounded, Bound::Excluded);
    let fits = |product: &Product| {
        (!asked.featured || product.featured)
            && asked.category.as_ref().is_none_or(|category| *category == product.category)
    };
    let mut rest = data.products.range((Bound::Unbounded, end)).rev().filter(|(_, product)| fits(product)).peekable();
    let page: Vec<_> = rest.by_ref().take(asked.limit).collect();
    let mut answer = json!({ "items": page.iter().map(|(id, product)| shown(id, product)).collect::<Vec<_>>() });
    if let (Some((last, _)), true) = (page.last(), rest.peek().is_some()) {
        answer["nextCursor"] = json!(last);
    }
    Json(answer)
}

async fn product(State(data): State<Arc<Data>>, Path(id): Path<Id>) -> Response {
    match data.products.get(&id) {
        Some(product) => Json(shown(&id, product)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn shown(id: &Id, product: &Product) -> Value {
    let mut shown = json!(product);
    shown["id"] = json!(id);
    shown["version"] = json!(1);
    shown
}
