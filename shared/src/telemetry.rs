//! Structured logs: one JSON object a line on standard output.

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Env};

/// Starts logging. `LOG_LEVEL` takes a level or a filter of `tracing-subscriber` (default `info`); `LOG_FORMAT` is
/// `json` (default) or, for a person at a terminal, `text`.
///
/// # Errors
/// When one of them is neither.
pub fn init(env: &Env) -> Result<(), ConfigError> {
    let filter = env.optional("LOG_LEVEL").unwrap_or("info");
    let filter =
        EnvFilter::try_new(filter).map_err(|why| ConfigError::new("LOG_LEVEL", format!("is {filter:?}: {why}")))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    // A second call in one process, from a test for example, changes nothing.
    let _ = match env.optional("LOG_FORMAT").unwrap_or("json") {
        "json" => logs.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        "text" => logs.compact().with_target(false).try_init(),
        other => return Err(ConfigError::new("LOG_FORMAT", format!("is {other:?}; it must be json or text"))),
    };
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string);
        tracing::error!(location, "panic");
    }));
    Ok(())
}
