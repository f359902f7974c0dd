//! Every route group in one process: what Fargate runs, and what `cargo dev` and the end-to-end tests serve.

use axum::Router;
use shared::{config::ConfigError, runtime::App};

/// The routers of all route groups. One line each.
///
/// # Errors
/// The first setting of a group that is missing or wrong.
pub fn routes(app: &App) -> Result<Router, ConfigError> {
    Ok(Router::new()
        .merge(users::router(users::State::new(app)?))
        .merge(products::router(products::State::new(app)?))
        .merge(orders::router(orders::State::new(app)?))
        .merge(home::router(home::State::new(app)?))
        .merge(thumbnails::router(thumbnails::State::new(app)?)))
}
