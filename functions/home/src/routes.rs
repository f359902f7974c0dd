//! The route of the home screen.

use std::time::{Duration, Instant};

use axum::{Router, extract::State as AxumState, response::Response, routing::get};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use shared::{
    ApiError,
    config::ConfigError,
    http::{
        auth::Caller,
        cache,
        call::Call,
        context::V2,
        view::{self, Shape},
    },
    runtime::App,
    slim::{Level, Selection, Slimmed},
};

use crate::parts::{Failures, Home, within};

/// How many recent orders and featured products the screen shows.
const RECENT: u16 = 5;
const FEATURED: u16 = 10;
/// Time to put the screen together.
const RESERVE: Duration = Duration::from_millis(50);

/// What the route works with: the route groups whose data it puts together.
#[derive(Clone, Debug)]
pub struct State {
    users: users::State,
    orders: orders::State,
    products: products::State,
    part_limit: Duration,
}

impl State {
    /// Reads the sources of users, orders and products, and `HOME_PART_TIMEOUT_MS` (1500).
    ///
    /// # Errors
    /// When a setting of theirs is not set or not valid, or the time is not a number.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let users = users::State::new(app)?;
        // One source of addresses, so that their secret is fetched once.
        let images = users.images.clone();
        Ok(Self {
            users,
            orders: orders::State::for_reading(app)?,
            products: products::State { images, ..products::State::for_reading(app)? },
            part_limit: app.env.millis("HOME_PART_TIMEOUT_MS", 1500)?,
        })
    }
}

/// `GET /api/v2/home`; and `GET /openapi.json`, since this function serves what belongs to no group.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/api/v2/home", cache::private(get(show)))
        .route("/openapi.json", cache::public(get(openapi)))
        .with_state(state)
}

/// The description of the whole API. `cargo run -p openapi` makes it.
async fn openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], include_str!("../../../docs/openapi.json"))
}

/// What is left for the parts, so that there is still time to answer with those that are there.
fn time_for_parts(call: &Call) -> Duration {
    let left = call.ends().saturating_duration_since(Instant::now());
    left.saturating_sub(RESERVE.min(left / 4))
}

async fn show(AxumState(state): AxumState<State>, caller: Caller, call: Call) -> Result<Response, ApiError> {
    let State { users, orders, products, part_limit } = &state;
    let part_limit = part_limit.min(&time_for_parts(&call)).to_owned();
    let part = call.within(part_limit);
    let scope = orders::scope_of(&caller.user);
    let (profile, recent, featured) = tokio::join!(
        within(part_limit, async {
            let user = users.users.get(&caller.user, &part).await?;
            let user = user.ok_or_else(|| ApiError::not_found("There is no profile for this token."))?;
            Ok((user, users.images.addresses().await?))
        }),
        within(part_limit, orders.orders.recent(&scope, RECENT)),
        within(part_limit, async {
            Ok((products.products.featured(FEATURED, &part).await?, products.context().await?))
        }),
    );

    let mut failures = Failures::default();
    let profile = failures.note("profile", profile);
    let recent = failures.note("recentOrders", recent);
    let featured = failures.note("featuredProducts", featured);

    let profile = profile.as_ref().and_then(|(user, images)| V2::view(user, images));
    let recent: Option<Vec<_>> =
        recent.as_ref().map(|all| all.iter().filter_map(|order| V2::view(order, orders)).collect());
    let featured: Option<Vec<_>> =
        featured.as_ref().map(|(all, context)| all.iter().filter_map(|product| V2::view(product, context)).collect());

    let (detail, minimal) = (Selection::at(Level::Detail), Selection::at(Level::Minimal));
    let body = Home {
        profile: profile.as_ref().map(|user| Slimmed::new(user, &detail)),
        recent_orders: recent.as_ref().map(|orders| Slimmed::new(orders, &detail)),
        featured_products: featured.as_ref().map(|products| Slimmed::new(products, &minimal)),
        complete: failures.0.is_empty(),
        errors: failures.0,
    };
    let mut response = view::json(StatusCode::OK, &body)?;
    call.describe(response.headers_mut());
    if !body.complete {
        // A screen with holes is not one to keep.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}
