//! The settings of a local run, from `dev/local.env`.

use shared::config::Env;

const LOCAL_ENV: &str = include_str!("../local.env");

/// The variables of `dev/local.env`, as pairs.
pub fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    LOCAL_ENV.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
}

/// The variables of `dev/local.env`. Variables of the process that are set to something else win.
pub fn env() -> Env {
    let process = Env::of_process();
    pairs().map(|(name, value)| (name, process.optional(name).unwrap_or(value).to_owned())).collect()
}

/// One variable of `dev/local.env`.
///
/// # Panics
/// When the file has no such variable.
pub fn value(name: &str) -> &'static str {
    pairs().find(|(key, _)| *key == name).map(|(_, value)| value).expect("a variable of dev/local.env")
}
