//! Versions of the API and their end (RFC 9745, RFC 8594, RFC 8288, RFC 5829).
//!
//! To retire a version, give it a policy; to bring one, add a line to the table in [`context`](super::context).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header::LINK};
use jiff::Timestamp;
use serde::Deserialize;

use super::context::{ApiVersion, PathPrefix};
use crate::{
    config::{ConfigError, Env},
    error::{ApiError, Code},
};

/// What holds unless `API_VERSIONS` says otherwise.
const POLICIES: &str =
    r#"{"v1":{"deprecated":"2026-11-25T00:00:00Z","sunset":"2027-11-25T00:00:00Z","successor":"v2"}}"#;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The policies of all versions that have one. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// By `v1`, or `users/v1` for one route group alone.
    policies: Arc<BTreeMap<String, Policy>>,
    docs_url: Arc<str>,
}

/// The end of a version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// From when on nobody should start to use it.
    deprecated: Timestamp,
    /// From when on it is gone.
    sunset: Option<Timestamp>,
    /// The version to use instead.
    successor: Option<String>,
}

impl Versions {
    /// Reads `API_VERSIONS`.
    ///
    /// # Errors
    /// When it is not JSON of the form of the default, or its dates make no sense.
    pub fn from_env(env: &Env, docs_url: &Arc<str>) -> Result<Self, ConfigError> {
        let name = "API_VERSIONS";
        let text = env.optional(name).unwrap_or(POLICIES);
        let policies: BTreeMap<String, Policy> =
            serde_json::from_str(text).map_err(|why| ConfigError::new(name, format!("is not valid: {why}")))?;
        for (version, policy) in &policies {
            policy
                .check(version)
                .map_err(|problem| ConfigError::new(name, format!("has for {version:?} {problem}")))?;
        }
        Ok(Self { policies: Arc::new(policies), docs_url: Arc::clone(docs_url) })
    }

    /// The policy for a route template such as `/api/v1/users/{id}`.
    fn of_route(&self, template: &str) -> Option<&Policy> {
        let mut parts = template.strip_prefix("/api/")?.split('/');
        let (version, group) = (parts.next()?, parts.next()?);
        self.policies.get(&format!("{group}/{version}")).or_else(|| self.policies.get(version))
    }
}

impl Policy {
    fn check(&self, key: &str) -> Result<(), String> {
        let version = key.rsplit_once('/').map_or(key, |(_, version)| version);
        if ApiVersion::named(version).is_none() {
            return Err("no version that there is".into());
        }
        if self.sunset.is_some_and(|sunset| sunset <= self.deprecated) {
            return Err("a sunset that is not after deprecated".into());
        }
        match self.successor.as_deref() {
            Some(successor) if successor == version => Err("itself as the successor".into()),
            Some(successor) if ApiVersion::named(successor).is_none() => {
                Err(format!("the successor {successor:?}, which there is not"))
            }
            _ => Ok(()),
        }
    }

    /// What an answer of this version says about its end.
    fn headers(&self, path: &str, prefix: &str, docs_url: &str) -> HeaderMap {
        let documentation = format!("<{docs_url}/versions>; rel=\"deprecation\"; type=\"text/html\"");
        let successor = self.successor.as_deref().and_then(|successor| {
            let (_, rest) = path.strip_prefix("/api/")?.split_once('/')?;
            Some(format!("<{prefix}/api/{successor}/{rest}>; rel=\"successor-version\", "))
        });
        let sunset = self.sunset.map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let headers = [
            (DEPRECATION, Some(format!("@{}", self.deprecated.as_second()))),
            (SUNSET, sunset),
            (LINK, Some(successor.unwrap_or_default() + &documentation)),
        ];
        let legal = headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value?).ok()?)));
        legal.collect()
    }
}

/// Says when the version of the route ends; refuses after that.
pub(super) async fn announce(
    State(versions): State<Versions>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>();
    let Some(policy) = route.and_then(|route| versions.of_route(route.as_str())) else {
        return Ok(next.run(request).await);
    };
    let prefix = request.extensions().get::<PathPrefix>().map_or("", |PathPrefix(prefix)| prefix);
    let headers = policy.headers(request.uri().path(), prefix, &versions.docs_url);
    if policy.sunset.is_some_and(|sunset| sunset <= Timestamp::now()) {
        let error =
            ApiError::new(Code::VersionSunset, "This version of the API is gone; the Link header names the next.");
        let named = |error: ApiError, (name, value): (Option<HeaderName>, HeaderValue)| match name {
            Some(name) => error.with_header(name, value),
            None => error,
        };
        return Err(headers.into_iter().fold(error, named));
    }
    let mut response = next.run(request).await;
    response.headers_mut().extend(headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(text: &str) -> Result<Versions, ConfigError> {
        Versions::from_env(&[("API_VERSIONS", text)].into_iter().collect(), &"https://docs.example.com".into())
    }

    #[test]
    fn a_wrong_policy_is_named() {
        let cases = [
            ("{", "API_VERSIONS is not valid: EOF while parsing an object at line 1 column 1"),
            (r#"{"v9":{"deprecated":"2026-01-01T00:00:00Z"}}"#, "API_VERSIONS has for \"v9\" no version that there is"),
            (
                r#"{"v1":{"deprecated":"2026-01-01T00:00:00Z","sunset":"2025-01-01T00:00:00Z"}}"#,
                "API_VERSIONS has for \"v1\" a sunset that is not after deprecated",
            ),
            (
                r#"{"users/v1":{"deprecated":"2026-01-01T00:00:00Z","successor":"v1"}}"#,
                "API_VERSIONS has for \"users/v1\" itself as the successor",
            ),
            (
                r#"{"v1":{"deprecated":"2026-01-01T00:00:00Z","successor":"v3"}}"#,
                "API_VERSIONS has for \"v1\" the successor \"v3\", which there is not",
            ),
        ];
        for (text, sentence) in cases {
            assert_eq!(versions(text).expect_err(sentence).to_string(), sentence);
        }
        assert!(versions(r#"{"v1":{"deprecated":"soon"}}"#).is_err());
        assert!(versions(r#"{"v1":{"deprecated":"2026-01-01T00:00:00Z","until":"x"}}"#).is_err());
    }

    #[test]
    fn the_default_retires_version_1_after_a_year() {
        let versions = versions("").expect("the default");
        let policy = versions.of_route("/api/v1/users/{id}").expect("a policy");
        let headers = policy.headers("/api/v1/users/a", "/prod", "https://docs.example.com");
        assert_eq!(headers["deprecation"], "@1795564800");
        assert_eq!(headers["sunset"], "Thu, 25 Nov 2027 00:00:00 GMT");
        assert_eq!(
            headers["link"],
            "</prod/api/v2/users/a>; rel=\"successor-version\", \
             <https://docs.example.com/versions>; rel=\"deprecation\"; type=\"text/html\""
        );
        assert_eq!(versions.of_route("/api/v2/users/{id}"), None);
        assert_eq!(versions.of_route("/health"), None);
    }

    #[test]
    fn a_group_can_go_its_own_way() {
        let text = r#"{"v1":{"deprecated":"2026-01-01T00:00:00Z"},"orders/v1":{"deprecated":"2027-01-01T00:00:00Z"}}"#;
        let versions = versions(text).expect("valid");
        let of = |route| versions.of_route(route).map(|policy| policy.deprecated.to_string());
        assert_eq!(of("/api/v1/orders/{id}").as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(of("/api/v1/users/{id}").as_deref(), Some("2026-01-01T00:00:00Z"));
    }
}
