//! The environment, and what goes wrong with it.

use std::{collections::HashMap, fmt::Display, str::FromStr, time::Duration};

use http::Uri;

/// A setting that is missing or wrong. The sentence names the variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct ConfigError {
    name: String,
    problem: String,
}

impl ConfigError {
    /// `problem` completes a sentence that starts with the variable's name.
    pub fn new(name: &str, problem: impl Into<String>) -> Self {
        Self { name: name.to_owned(), problem: problem.into() }
    }
}

/// A snapshot of environment variables. An empty value counts as absent.
#[derive(Clone, Debug, Default)]
pub struct Env(HashMap<String, String>);

impl Env {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
    }

    /// The same, with some variables set or changed.
    #[must_use]
    pub fn with<K: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.0.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// A value, if there is one.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value that the start cannot do without.
    ///
    /// # Errors
    /// When the variable is not set.
    pub fn required(&self, name: &str) -> Result<&str, ConfigError> {
        self.optional(name).ok_or_else(|| ConfigError::new(name, "is not set"))
    }

    /// A parsed value, or the default when the variable is not set.
    ///
    /// # Errors
    /// When the value does not parse.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str, default: T) -> Result<T, ConfigError> {
        self.optional(name).map_or(Ok(default), |text| {
            text.parse().map_err(|why| ConfigError::new(name, format!("is {text:?}, which is not valid: {why}")))
        })
    }

    /// A time in milliseconds, at least 1.
    ///
    /// # Errors
    /// When the value is not a whole number, or 0.
    pub fn millis(&self, name: &str, default: u64) -> Result<Duration, ConfigError> {
        match self.parsed(name, default)? {
            0 => Err(ConfigError::new(name, "is 0; it must be at least 1 (milliseconds)")),
            millis => Ok(Duration::from_millis(millis)),
        }
    }

    /// An absolute `http` or `https` address.
    ///
    /// # Errors
    /// When the value is anything else.
    pub fn url(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        let uri: Option<Uri> = text.parse().ok();
        let fits = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if fits {
            Ok(Some(text))
        } else {
            Err(ConfigError::new(name, format!("is {text:?}, which is not a web address")))
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
