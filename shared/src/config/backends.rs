//! The services that data comes from over HTTP.

use std::{fmt, time::Duration};

use reqwest::Url;

use super::{ConfigError, Env, limits::check_attempt};

/// Which data comes from another service in place of DynamoDB, and how much patience there is with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends {
    /// `BACKEND_USERS_URL`: the service that has the users.
    pub users: Option<BaseUrl>,
    /// `BACKEND_PRODUCTS_URL`: the service that has the products.
    pub products: Option<BaseUrl>,
    /// `BACKEND_TIMEOUT_MS` (2000): one question to a service, retries included.
    pub timeout: Duration,
    /// `BACKEND_ATTEMPT_TIMEOUT_MS` (800): one attempt of a read.
    pub attempt: Duration,
    /// `BACKEND_STALE_SECONDS` (86400): how old an answer may be that is given out while its service is down; 0 for never.
    pub stale: Duration,
    /// `BACKEND_CA_BUNDLE`: a PEM file of the roots to trust in place of the system's.
    pub ca_bundle: Option<String>,
}

impl Backends {
    pub(super) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let backends = Self {
            users: BaseUrl::from_env(env, "BACKEND_USERS_URL", "/users")?,
            products: BaseUrl::from_env(env, "BACKEND_PRODUCTS_URL", "/products")?,
            timeout: env.millis("BACKEND_TIMEOUT_MS", 2000)?,
            attempt: env.millis("BACKEND_ATTEMPT_TIMEOUT_MS", 800)?,
            stale: Duration::from_secs(env.parsed("BACKEND_STALE_SECONDS", 86_400)?),
            ca_bundle: env.optional("BACKEND_CA_BUNDLE").map(str::to_owned),
        };
        check_attempt(("BACKEND_ATTEMPT_TIMEOUT_MS", backends.attempt), ("BACKEND_TIMEOUT_MS", backends.timeout))?;
        Ok(backends)
    }
}

/// Where a service is: `http` or `https`, a host, maybe a path; never credentials, a query or a fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl BaseUrl {
    /// Reads the variable `name`; `follows` is what stands behind the address in a request.
    fn from_env(env: &Env, name: &str, follows: &str) -> Result<Option<Self>, ConfigError> {
        let Some(text) = env.optional(name) else { return Ok(None) };
        // First of all, since the other sentences repeat the value.
        if text.contains('@') {
            let problem = "has a user name or a password in it; an upstream gets no credentials";
            return Err(ConfigError::new(name, problem));
        }
        env.url(name)?;
        let unreadable = |why| ConfigError::new(name, format!("is {text:?}, which is not a web address: {why}"));
        let url: Url = text.parse().map_err(unreadable)?;
        if url.query().is_some() || url.fragment().is_some() {
            let problem =
                format!("is {text:?}; it must end with the path that {follows} follows, without a query or a fragment");
            return Err(ConfigError::new(name, problem));
        }
        Ok(Some(Self(url)))
    }

    /// The address with these segments behind it, each percent-encoded.
    pub fn join<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // An `http` address always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether connections are encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        let env = [("BACKEND_USERS_URL", text)].into_iter().collect();
        BaseUrl::from_env(&env, "BACKEND_USERS_URL", "/users").expect("good").expect("set")
    }

    #[test]
    fn segments_follow_the_path_and_cannot_leave_it() {
        let join = |text: &str, segments: &[&str]| base(text).join(segments.iter().copied()).to_string();
        assert_eq!(join("http://u.internal", &["users", "a"]), "http://u.internal/users/a");
        assert_eq!(join("http://u.internal:81/api/", &["users", "a"]), "http://u.internal:81/api/users/a");
        assert_eq!(
            join("http://u/api", &["users", "../b c/%2e%2e?d#e"]),
            "http://u/api/users/..%2Fb%20c%2F%252e%252e%3Fd%23e"
        );
        assert_eq!(join("http://u/api", &["users", ".."]), "http://u/api/users");
    }
}
