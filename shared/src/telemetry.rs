//! Structured logs: one JSON object a line on standard output.

use tracing::level_filters::LevelFilter;

use crate::config::{ConfigError, Env};

/// Starts logging. `LOG_LEVEL` is `error`, `warn`, `info` (default), `debug`, `trace` or `off`; `LOG_FORMAT` is `json`
/// (default) or, for a person at a terminal, `text`.
///
/// # Errors
/// When one of them is neither.
pub fn init(env: &Env) -> Result<(), ConfigError> {
    let level = env.parsed("LOG_LEVEL", LevelFilter::INFO)?;
    let logs = tracing_subscriber::fmt().with_max_level(level);
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
