//! Structured logs, one JSON object a line on standard output, and [`metrics`].

pub mod metrics;
pub mod spans;
pub mod timing;
pub mod trace;

use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::{ConfigError, Env};

pub use tracing::level_filters::LevelFilter;

/// Starts logging. `LOG_LEVEL` is `error`, `warn`, `info` (default), `debug`, `trace` or `off`; `LOG_FORMAT` is `json`
/// (default) or, for a person at a terminal, `text`.
///
/// # Errors
/// When one of them is neither.
pub fn init(env: &Env) -> Result<(), ConfigError> {
    let level = env.parsed("LOG_LEVEL", LevelFilter::INFO)?;
    // A second call in one process, from a test for example, changes nothing.
    let _ = match env.optional("LOG_FORMAT").unwrap_or("json") {
        "json" => to(level, std::io::stdout),
        "text" => start(level, tracing_subscriber::fmt::layer().compact().with_target(false)),
        other => return Err(ConfigError::new("LOG_FORMAT", format!("is {other:?}; it must be json or text"))),
    };
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string);
        tracing::error!(location, "panic");
    }));
    Ok(())
}

/// Starts logging to a writer, one JSON object a line.
///
/// # Errors
/// When the process has a log already.
pub fn to<W>(level: LevelFilter, writer: W) -> Result<(), TryInitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
    start(level, lines.with_current_span(false).with_span_list(false).with_writer(writer))
}

fn start(level: LevelFilter, lines: impl Layer<Registry> + Send + Sync) -> Result<(), TryInitError> {
    // The SDK warns of each answer that is not 200; a lost race for a row is one, and is ours to judge.
    let sdk = if level < LevelFilter::DEBUG { level.min(LevelFilter::ERROR) } else { level };
    let targets = Targets::new().with_default(level).with_target("aws_smithy_runtime", sdk);
    tracing_subscriber::registry().with(lines.with_filter(targets)).try_init()
}
