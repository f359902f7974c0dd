//! Structured logs, one JSON object a line on standard output, and [`metrics`].

pub mod metrics;
pub mod trace;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{ConfigError, Env};

/// Starts logging. `LOG_LEVEL` is `error`, `warn`, `info` (default), `debug`, `trace` or `off`; `LOG_FORMAT` is `json`
/// (default) or, for a person at a terminal, `text`.
///
/// # Errors
/// When one of them is neither.
pub fn init(env: &Env) -> Result<(), ConfigError> {
    let level = env.parsed("LOG_LEVEL", LevelFilter::INFO)?;
    // The SDK warns of each answer that is not 200; a lost race for a row is one, and is ours to judge.
    let sdk = if level < LevelFilter::DEBUG { level.min(LevelFilter::ERROR) } else { level };
    let targets = Targets::new().with_default(level).with_target("aws_smithy_runtime", sdk);
    let logs = tracing_subscriber::fmt::layer();
    let registry = tracing_subscriber::registry().with(targets);
    // A second call in one process, from a test for example, changes nothing.
    let _ = match env.optional("LOG_FORMAT").unwrap_or("json") {
        "json" => {
            let logs = logs.json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(logs).try_init()
        }
        "text" => registry.with(logs.compact().with_target(false)).try_init(),
        other => return Err(ConfigError::new("LOG_FORMAT", format!("is {other:?}; it must be json or text"))),
    };
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string);
        tracing::error!(location, "panic");
    }));
    Ok(())
}
