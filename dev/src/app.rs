//! The whole service on an embedded DynamoDB, in this process.

use axum::Router;
use shared::{
    backend::aws::Aws,
    config::{Config, ConfigError, Env},
    runtime::App,
};

use crate::settings;

/// An app on the DynamoDB of this endpoint, with the settings of `dev/local.env`.
///
/// # Errors
/// When a setting is wrong.
pub fn on(endpoint: &str) -> Result<App, ConfigError> {
    with(settings::env(), endpoint)
}

/// Like [`on`], with other settings.
///
/// # Errors
/// When a setting is wrong.
pub fn with(env: Env, endpoint: &str) -> Result<App, ConfigError> {
    let config = Config::from_env(&env)?;
    let aws = Aws::local(endpoint, config.limits)?;
    App::new(env, config, aws)
}

/// The complete service of an app: every route group inside the middleware stack.
///
/// # Errors
/// When a setting of a route group is missing or wrong.
pub fn service(app: &App) -> Result<Router, ConfigError> {
    Ok(app.service(container::routes(app)?))
}
