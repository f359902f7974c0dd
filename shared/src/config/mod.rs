//! Settings, read once at the start. Nothing else in the project reads the environment.

mod backends;
mod env;
mod jwt;
mod limits;
mod secret;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use crate::http::versions::Versions;

pub use backends::{Backends, BaseUrl};
pub use env::{ConfigError, Env};
pub use jwt::{JwtConfig, JwtKeys};
pub use limits::{Limits, RateLimit};
pub use secret::{SecretSource, check_secret};

/// The proxies that are trusted to name the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `TRUSTED_PROXIES` (0): how many stand between the clients and a server; each appends to `X-Forwarded-For`.
    pub hops: usize,
    /// `ORIGIN_SECRET` or `ORIGIN_SECRET_ID`: what CloudFront sends as `X-Origin-Verify`.
    pub origin_secret: Option<SecretSource>,
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
    /// Where data comes from over HTTP.
    pub backends: Backends,
    /// `SERVER_TIMING` (`off`): whether a request may ask where its time goes.
    pub server_timing: bool,
    /// `CORS_ORIGINS`: the origins whose pages may read the answers.
    pub cors_origins: Vec<HeaderValue>,
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
            backends: Backends::from_env(env)?,
            server_timing: server_timing(env)?,
            cors_origins: cors_origins(env)?,
            versions: Versions::from_env(env, &docs_url)?,
            shared_cache: Duration::from_millis(env.parsed("SHARED_CACHE_MS", 0)?),
            limits,
            docs_url,
            base_path: base_path(env)?,
        })
    }
}

impl Proxies {
    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let origin_secret = SecretSource::from_env(env, "ORIGIN_SECRET")?;
        Ok(Self { hops: env.parsed("TRUSTED_PROXIES", 0)?, origin_secret })
    }
}

/// For development only: where the store is AWS's own, nobody is told.
fn server_timing(env: &Env) -> Result<bool, ConfigError> {
    let name = "SERVER_TIMING";
    match env.optional(name).unwrap_or("off") {
        "off" => Ok(false),
        "on" => {
            let endpoint = env.url("AWS_ENDPOINT_URL_DYNAMODB")?.or(env.url("AWS_ENDPOINT_URL")?);
            let host = endpoint.and_then(|url| Some(url.parse::<http::Uri>().ok()?.host()?.to_owned()));
            let of_aws = |host: &String| {
                [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|end| host.ends_with(end))
            };
            if host.is_none_or(|host| of_aws(&host)) {
                let problem = "is on, which is for development: it goes with an emulator's AWS_ENDPOINT_URL_DYNAMODB";
                return Err(ConfigError::new(name, problem));
            }
            Ok(true)
        }
        other => Err(ConfigError::new(name, format!("is {other:?}; it must be on or off"))),
    }
}

/// `https://app.example.com,http://localhost:5173`, each in the form in which a browser sends it (RFC 6454, section 6.2), so
/// that they can be compared letter by letter.
fn cors_origins(env: &Env) -> Result<Vec<HeaderValue>, ConfigError> {
    let name = "CORS_ORIGINS";
    let origins = env.optional(name).unwrap_or_default().split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let checked = origins.map(|origin| {
        let as_sent = reqwest::Url::parse(origin).ok().and_then(|url| {
            let as_sent = url.origin().ascii_serialization();
            // Nothing but an origin, which a path of nothing follows in an address.
            let alone = url.as_str().strip_suffix('/') == Some(&as_sent) && !origin.ends_with('/');
            (alone && matches!(url.scheme(), "http" | "https")).then_some(as_sent)
        });
        let wrong = || {
            ConfigError::new(name, format!("has {origin:?}, which is not an origin such as https://app.example.com"))
        };
        as_sent.and_then(|origin| HeaderValue::from_str(&origin).ok()).ok_or_else(wrong)
    });
    checked.collect()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn origins_are_compared_as_browsers_send_them() {
        let origins = "https://App.example.com:443, http://localhost:80,http://localhost:5173";
        let read = cors_origins(&[("CORS_ORIGINS", origins)].into_iter().collect()).expect("origins");
        assert_eq!(read, ["https://app.example.com", "http://localhost", "http://localhost:5173"]);
        for wrong in
            ["https://me@app.example.com", "https://app.example.com?q", "ftp://app.example.com", "https://a:99999"]
        {
            let read = cors_origins(&[("CORS_ORIGINS", wrong)].into_iter().collect());
            assert!(read.is_err(), "{wrong}");
        }
    }

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
        assert_eq!((config.backends.users, config.backends.products), (None, None));
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
                &[("SERVER_TIMING", "on")],
                "SERVER_TIMING is on, which is for development: it goes with an emulator's AWS_ENDPOINT_URL_DYNAMODB",
            ),
            (
                &[
                    ("SERVER_TIMING", "on"),
                    ("AWS_ENDPOINT_URL", "https://vpce-1.dynamodb.eu-central-1.vpce.amazonaws.com"),
                ],
                "SERVER_TIMING is on, which is for development: it goes with an emulator's AWS_ENDPOINT_URL_DYNAMODB",
            ),
            (
                &[("CORS_ORIGINS", "https://app.example.com,*")],
                "CORS_ORIGINS has \"*\", which is not an origin such as https://app.example.com",
            ),
            (
                &[("CORS_ORIGINS", "https://app.example.com/")],
                "CORS_ORIGINS has \"https://app.example.com/\", which is not an origin such as https://app.example.com",
            ),
            (&[("SERVER_TIMING", "1")], "SERVER_TIMING is \"1\"; it must be on or off"),
            (&[("BACKEND_USERS_URL", "users")], "BACKEND_USERS_URL is \"users\", which is not a web address"),
            (
                &[("BACKEND_USERS_URL", "ftp://users.internal")],
                "BACKEND_USERS_URL is \"ftp://users.internal\", which is not a web address",
            ),
            (
                &[("BACKEND_USERS_URL", "https://me:hunter2@users.internal")],
                "BACKEND_USERS_URL has a user name or a password in it; an upstream gets no credentials",
            ),
            (
                &[("BACKEND_PRODUCTS_URL", "http://products.internal/?v=1")],
                "BACKEND_PRODUCTS_URL is \"http://products.internal/?v=1\"; \
                 it must end with the path that /products follows, without a query or a fragment",
            ),
            (
                &[("BACKEND_ATTEMPT_TIMEOUT_MS", "3000")],
                "BACKEND_ATTEMPT_TIMEOUT_MS is longer than BACKEND_TIMEOUT_MS, 2s: \
                 the first attempt would have no time",
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
