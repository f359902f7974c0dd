//! Settings, read once at the start. Nothing else in the project reads the environment.

use std::{collections::HashMap, fmt::Display, str::FromStr, sync::Arc, time::Duration};

use http::Uri;
use jsonwebtoken::Algorithm;

use crate::http::versions::Versions;

/// The shortest JWT secret that is accepted, in bytes: the hash's own length (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The longest margin ahead of the platform's deadline.
const MAX_MARGIN: Duration = Duration::from_secs(5);

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
}

impl Env {
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

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `REQUEST_TIMEOUT_MS` (8000): a whole request.
    pub request: Duration,
    /// `DEADLINE_MARGIN_MS` (250): how far ahead of the platform's deadline the service answers TIMEOUT itself.
    pub deadline_margin: Duration,
    /// `STORE_TIMEOUT_MS` (2000): one store operation, retries included.
    pub store: Duration,
    /// `STORE_ATTEMPT_TIMEOUT_MS` (800): one attempt of a store operation.
    pub store_attempt: Duration,
}

/// How many requests there may be in 60 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// `RATE_LIMIT_TABLE`: the table of counters.
    pub table: String,
    /// `RATE_LIMIT_FREE` (100): for a user, or for an address without one.
    pub free: u32,
    /// `RATE_LIMIT_PREMIUM` (1000): for a user whose token has the claim `plan` `premium`.
    pub premium: u32,
    /// `RATE_LIMIT_TIMEOUT_MS` (100): how long a request waits for the counters before it does without.
    pub timeout: Duration,
    /// How long one waits that must not do without: `STORE_ATTEMPT_TIMEOUT_MS`.
    pub sure_timeout: Duration,
}

/// The proxies that are trusted to name the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `TRUSTED_PROXIES` (0): how many stand between the clients and a server; each appends to `X-Forwarded-For`.
    pub hops: usize,
    /// `ORIGIN_SECRET` or `ORIGIN_SECRET_ID`: what CloudFront sends as `X-Origin-Verify`.
    pub origin_secret: Option<SecretSource>,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `NAME`: given directly (local development; ECS injects it from Secrets Manager).
    Given(String),
    /// `NAME_ID`: a name or ARN in Secrets Manager.
    Managed(String),
}

/// Never shows a secret, so that a settings dump can be logged.
impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::Managed(id) => f.debug_tuple("Managed").field(id).finish(),
        }
    }
}

impl SecretSource {
    /// Reads `name` or `name_ID`.
    ///
    /// # Errors
    /// When both are set, or when the secret is shorter than 32 bytes.
    pub fn from_env(env: &Env, name: &str) -> Result<Option<Self>, ConfigError> {
        let id = format!("{name}_ID");
        match (env.optional(name), env.optional(&id)) {
            (None, None) => Ok(None),
            (None, Some(id)) => Ok(Some(Self::Managed(id.to_owned()))),
            (Some(secret), None) => {
                check_secret(secret).map_err(|problem| ConfigError::new(name, problem))?;
                Ok(Some(Self::Given(secret.to_owned())))
            }
            (Some(_), Some(_)) => Err(ConfigError::new(name, format!("and {id} exclude each other; set one"))),
        }
    }
}

/// Where the keys come from that verify tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// `JWT_SECRET` or `JWT_SECRET_ID`: an HS256 secret.
    Secret(SecretSource),
    /// `JWT_JWKS_URL` with `JWT_ALGORITHM` (RS256 or ES256): the public keys of an identity provider.
    Jwks {
        /// `https://…/.well-known/jwks.json`
        url: String,
        /// The one algorithm that is accepted.
        algorithm: Algorithm,
    },
}

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// Where the keys come from.
    pub keys: JwtKeys,
    /// `JWT_ISSUER`: the `iss` that is accepted.
    pub issuer: String,
    /// `JWT_AUDIENCE`: the `aud` that is accepted.
    pub audience: String,
}

/// The settings that every function and the container share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Token verification.
    pub jwt: JwtConfig,
    /// Time limits.
    pub limits: Limits,
    /// How many requests there may be.
    pub rate_limit: RateLimit,
    /// Who is trusted to name the client.
    pub proxies: Proxies,
    /// `API_VERSIONS`: the end of versions.
    pub versions: Versions,
    /// `SHARED_CACHE_MS` (0): how long an answer that anybody may share is given again without being made again.
    pub shared_cache: Duration,
    /// `DOCS_URL`: base of the links in error bodies, without a trailing slash.
    pub docs_url: Arc<str>,
    /// `BASE_PATH`: a custom domain's base-path mapping that API Gateway leaves in the path, for example `/mobile`.
    pub base_path: Option<String>,
}

impl Config {
    /// Reads and checks every setting.
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let docs_url = env.url("DOCS_URL")?.unwrap_or("https://docs.example.com/mobile-bff");
        let docs_url: Arc<str> = docs_url.trim_end_matches('/').into();
        let limits = Limits::from_env(env)?;
        Ok(Self {
            jwt: JwtConfig::from_env(env)?,
            rate_limit: RateLimit::from_env(env, limits)?,
            proxies: Proxies::from_env(env)?,
            versions: Versions::from_env(env, &docs_url)?,
            limits,
            shared_cache: Duration::from_millis(env.parsed("SHARED_CACHE_MS", 0)?),
            docs_url,
            base_path: base_path(env)?,
        })
    }
}

impl Limits {
    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let limits = Self {
            request: env.millis("REQUEST_TIMEOUT_MS", 8000)?,
            deadline_margin: env.millis("DEADLINE_MARGIN_MS", 250)?,
            store: env.millis("STORE_TIMEOUT_MS", 2000)?,
            store_attempt: env.millis("STORE_ATTEMPT_TIMEOUT_MS", 800)?,
        };
        if limits.store_attempt > limits.store {
            let problem =
                format!("is longer than STORE_TIMEOUT_MS, {:?}: the first attempt would have no time", limits.store);
            return Err(ConfigError::new("STORE_ATTEMPT_TIMEOUT_MS", problem));
        }
        if limits.deadline_margin > MAX_MARGIN {
            return Err(ConfigError::new(
                "DEADLINE_MARGIN_MS",
                "is more than 5000: little would be left of an invocation",
            ));
        }
        Ok(limits)
    }
}

impl RateLimit {
    fn from_env(env: &Env, limits: Limits) -> Result<Self, ConfigError> {
        let rate = |name: &str, default: u32| match env.parsed(name, default)? {
            0 => Err(ConfigError::new(name, "is 0; nobody could make a request")),
            rate => Ok(rate),
        };
        Ok(Self {
            table: env.required("RATE_LIMIT_TABLE")?.to_owned(),
            free: rate("RATE_LIMIT_FREE", 100)?,
            premium: rate("RATE_LIMIT_PREMIUM", 1000)?,
            timeout: env.millis("RATE_LIMIT_TIMEOUT_MS", 100)?,
            sure_timeout: limits.store_attempt,
        })
    }
}

impl Proxies {
    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let origin_secret = SecretSource::from_env(env, "ORIGIN_SECRET")?;
        Ok(Self { hops: env.parsed("TRUSTED_PROXIES", 0)?, origin_secret })
    }
}

fn base_path(env: &Env) -> Result<Option<String>, ConfigError> {
    let name = "BASE_PATH";
    match env.optional(name) {
        None | Some("/") => Ok(None),
        Some(path) if path.starts_with('/') && !path.ends_with('/') && !path.contains(['?', '#', ' ']) => {
            Ok(Some(path.to_owned()))
        }
        Some(path) => {
            let problem = format!("is {path:?}; it must be a path that starts with a slash and does not end with one");
            Err(ConfigError::new(name, problem))
        }
    }
}

impl JwtConfig {
    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            keys: JwtKeys::from_env(env)?,
            issuer: env.required("JWT_ISSUER")?.to_owned(),
            audience: env.required("JWT_AUDIENCE")?.to_owned(),
        })
    }
}

impl JwtKeys {
    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let secret = SecretSource::from_env(env, "JWT_SECRET")?;
        let url = env.url("JWT_JWKS_URL")?;
        match (secret, url) {
            (Some(secret), None) => match env.optional("JWT_ALGORITHM") {
                None | Some("HS256") => Ok(Self::Secret(secret)),
                Some(_) => {
                    Err(ConfigError::new("JWT_ALGORITHM", "goes with JWT_JWKS_URL; a secret is always for HS256"))
                }
            },
            (None, Some(url)) => {
                let algorithm = match env.required("JWT_ALGORITHM")? {
                    "RS256" => Algorithm::RS256,
                    "ES256" => Algorithm::ES256,
                    other => {
                        let problem = format!("is {other:?}; with JWT_JWKS_URL it must be RS256 or ES256");
                        return Err(ConfigError::new("JWT_ALGORITHM", problem));
                    }
                };
                Ok(Self::Jwks { url: url.to_owned(), algorithm })
            }
            (None, None) => Err(ConfigError::new("JWT_SECRET", "is not set, nor is JWT_SECRET_ID or JWT_JWKS_URL")),
            (Some(_), Some(_)) => {
                Err(ConfigError::new("JWT_JWKS_URL", "and JWT_SECRET or JWT_SECRET_ID exclude each other; set one"))
            }
        }
    }
}

/// Refuses a secret that is shorter than the hash it keys.
///
/// # Errors
/// A phrase that completes a sentence about the secret; it never contains the secret.
pub fn check_secret(secret: &str) -> Result<(), String> {
    match secret.len() {
        MIN_SECRET_BYTES.. => Ok(()),
        len => Err(format!("has {len} bytes; HS256 needs at least {MIN_SECRET_BYTES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("RATE_LIMIT_TABLE", "limits"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("JWT_ISSUER", "https://id.example.com"),
        ("JWT_AUDIENCE", "mobile"),
    ];

    fn with(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_env(&GOOD.iter().chain(changes).copied().collect())
    }

    #[test]
    fn defaults_suffice() {
        let config = with(&[]).expect("valid");
        assert_eq!(config.limits.request, Duration::from_secs(8));
        assert_eq!(config.base_path, None);
    }

    #[test]
    fn every_wrong_value_is_named() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("JWT_SECRET", "short")], "JWT_SECRET has 5 bytes; HS256 needs at least 32"),
            (&[("JWT_SECRET", "")], "JWT_SECRET is not set, nor is JWT_SECRET_ID or JWT_JWKS_URL"),
            (&[("JWT_SECRET_ID", "x")], "JWT_SECRET and JWT_SECRET_ID exclude each other; set one"),
            (&[("JWT_SECRET", ""), ("JWT_JWKS_URL", "https://x")], "JWT_ALGORITHM is not set"),
            (
                &[("JWT_SECRET", ""), ("JWT_JWKS_URL", "https://x"), ("JWT_ALGORITHM", "HS256")],
                "JWT_ALGORITHM is \"HS256\"; with JWT_JWKS_URL it must be RS256 or ES256",
            ),
            (&[("JWT_ISSUER", "")], "JWT_ISSUER is not set"),
            (&[("JWT_AUDIENCE", "")], "JWT_AUDIENCE is not set"),
            (&[("RATE_LIMIT_TABLE", "")], "RATE_LIMIT_TABLE is not set"),
            (&[("RATE_LIMIT_FREE", "0")], "RATE_LIMIT_FREE is 0; nobody could make a request"),
            (&[("ORIGIN_SECRET", "short")], "ORIGIN_SECRET has 5 bytes; HS256 needs at least 32"),
            (&[("STORE_TIMEOUT_MS", "0")], "STORE_TIMEOUT_MS is 0; it must be at least 1 (milliseconds)"),
            (
                &[("REQUEST_TIMEOUT_MS", "soon")],
                "REQUEST_TIMEOUT_MS is \"soon\", which is not valid: invalid digit found in string",
            ),
            (
                &[("BASE_PATH", "mobile/")],
                "BASE_PATH is \"mobile/\"; it must be a path that starts with a slash and does not end with one",
            ),
            (&[("DOCS_URL", "docs")], "DOCS_URL is \"docs\", which is not a web address"),
            (&[("JWT_SECRET", ""), ("JWT_JWKS_URL", "x")], "JWT_JWKS_URL is \"x\", which is not a web address"),
            (&[("JWT_ALGORITHM", "RS256")], "JWT_ALGORITHM goes with JWT_JWKS_URL; a secret is always for HS256"),
            (
                &[("STORE_ATTEMPT_TIMEOUT_MS", "3000")],
                "STORE_ATTEMPT_TIMEOUT_MS is longer than STORE_TIMEOUT_MS, 2s: the first attempt would have no time",
            ),
            (
                &[("DEADLINE_MARGIN_MS", "20000")],
                "DEADLINE_MARGIN_MS is more than 5000: little would be left of an invocation",
            ),
        ];
        for (changes, sentence) in cases {
            assert_eq!(with(changes).expect_err(sentence).to_string(), *sentence);
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let shown = format!("{:?}", with(&[]).expect("valid"));
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
