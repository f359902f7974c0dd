//! The routes of users.

use axum::{Router, extract::State as AxumState, response::Response, routing::get};
use http::header::ETAG;
use shared::{
    ApiError, Id,
    config::ConfigError,
    http::{
        auth::Caller,
        cache,
        call::Call,
        context::{V1, V2},
        edit::Edit,
        extract::{MergePatch, PathId, Query},
        precondition::{Preconditions, ServerCopy, etag},
        view::{self, Shape, ViewQuery},
    },
    image::{Addresses, Images},
    runtime::App,
    slim::{Level, Selection},
};

use crate::{model::User, store::Users};

/// How often an edit tries again when the record changes under it.
const ATTEMPTS: usize = 3;

/// What the routes work with.
#[derive(Clone, Debug)]
pub struct State {
    /// The records.
    pub users: Users,
    /// Addresses of avatars.
    pub images: Images,
}

impl State {
    /// Reads `BACKEND_USERS_URL` or `USERS_TABLE`, and `IMAGES_URL` with `IMAGES_SECRET` or `IMAGES_SECRET_ID`.
    ///
    /// # Errors
    /// When there are no users, or the secret is not valid.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { users: Users::of(app)?, images: Images::from_env(&app.env, &app.aws.secrets)? })
    }
}

/// `GET /api/{v1,v2}/users/{id}`, `GET` and `PATCH /api/v2/users/me`.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/api/v1/users/{id}", cache::private(get(show::<V1>)))
        .route("/api/v2/users/{id}", cache::private(get(show::<V2>)))
        .route("/api/v2/users/me", cache::private(get(show_me).patch(edit_me)))
        .with_state(state)
}

/// Somebody else's record comes at level minimal; asking for more of it is forbidden.
async fn show<V: Shape<User, Addresses>>(
    AxumState(state): AxumState<State>,
    caller: Caller,
    call: Call,
    PathId(id): PathId,
    Query(query): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let ceiling = if id == caller.user { Level::Full } else { Level::Minimal };
    let selection = query.select::<V, _, _>(ceiling)?;
    let user = state.users.get(&id, &call).await?.ok_or_else(|| unknown(&id))?;
    let mut response = respond::<V>(&state.images.addresses().await?, &user, &selection)?;
    call.describe(response.headers_mut());
    Ok(response)
}

async fn show_me(
    state: AxumState<State>,
    caller: Caller,
    call: Call,
    query: Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let own = PathId(caller.user.clone());
    show::<V2>(state, caller, call, own, query).await
}

fn respond<V: Shape<User, Addresses>>(
    images: &Addresses,
    user: &User,
    selection: &Selection,
) -> Result<Response, ApiError> {
    let mut response = view::one(&V::view(user, images), selection)?;
    response.headers_mut().insert(ETAG, etag(user.version));
    Ok(response)
}

/// Names and preferences, as a merge patch on the version that `If-Match` or the body names.
async fn edit_me(
    AxumState(state): AxumState<State>,
    caller: Caller,
    call: Call,
    preconditions: Preconditions,
    Query(query): Query<ViewQuery>,
    MergePatch(patch): MergePatch,
) -> Result<Response, ApiError> {
    let selection = query.select_after_write::<V2, User, Addresses>()?;
    let call = call.current();
    let edit = Edit::of(patch, Some(&caller.user))?;
    let expected = preconditions.require(edit.version)?;
    let images = state.images.addresses().await?;
    let shown = |user: &User| view::value(&V2::view(user, &images), &selection);

    for _ in 0..ATTEMPTS {
        let user = state.users.get(&caller.user, &call).await?.ok_or_else(|| unknown(&caller.user))?;
        let edited = edit.merge_into(&user.editable())?;
        edited.validate()?;
        let unchanged = edited == user.editable();
        // The same edit once more, after a lost answer, is not a conflict.
        let retried = unchanged && expected.state.held_before(user.version);
        if !expected.state.holds(Some(user.version)) && !retried {
            return Err(expected.refuse(ServerCopy { version: user.version, current: shown(&user)? }));
        }
        let stored =
            if unchanged { Some(user) } else { state.users.update(&caller.user, user.version, &edited, &call).await? };
        if let Some(user) = stored {
            return respond::<V2>(&images, &user, &selection);
        }
    }
    Err(ApiError::unavailable("the record kept changing"))
}

fn unknown(id: &Id) -> ApiError {
    ApiError::not_found(format!("There is no user {id}."))
}
