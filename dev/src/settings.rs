//! The settings of a local run, from `dev/local.env`.

use shared::config::Env;

const LOCAL_ENV: &str = include_str!("../local.env");

/// The variables of `dev/local.env`, as pairs.
pub fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    LOCAL_ENV.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
}

/// The variables of this process, with those of `dev/local.env` over them: tables, tokens and demo data must fit
/// together, while a limit or a log level may be tried out.
pub fn env() -> Env {
    Env::of_process().with(pairs())
}

/// One variable of `dev/local.env`.
///
/// # Panics
/// When the file has no such variable.
pub fn value(name: &str) -> &'static str {
    pairs().find(|(key, _)| *key == name).map(|(_, value)| value).expect("a variable of dev/local.env")
}
