//! Bearer tokens: JSON Web Tokens as RFC 8725 asks for, from the header to a verified caller.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_secretsmanager::Client as SecretsClient;
use axum::extract::FromRequestParts;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::{Error as JwtError, ErrorKind},
    jwk::{JwkSet, PublicKeyUse},
};
use serde::Deserialize;

use crate::{
    Id,
    backend::upstream::{self, Upstream},
    config::{ConfigError, JwtConfig, JwtKeys, check_secret},
    error::ApiError,
    secrets::{Refreshing, current_and_previous},
};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far clocks may differ, in seconds.
const LEEWAY_SECONDS: u64 = 30;
/// Largest key set that is read, in bytes.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// What a user has paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// The ordinary limits.
    #[default]
    Free,
    /// The higher limits: the verified claim `plan` is `premium`.
    Premium,
}

/// A verified caller.
///
/// As an extractor it answers 401 when the request has no valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user's id: the claim `sub`, or else `user_id`.
    pub user: Id,
    /// The user's plan.
    pub plan: Plan,
}

/// Who sends the request, as the `authenticate` layer found out.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No `Authorization` header.
    Anonymous,
    /// A token that verifies.
    Verified(Caller),
    /// A token that does not, and the answer for routes that need one.
    Refused(ApiError),
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Verified(caller)) => Ok(caller.clone()),
            Some(Identity::Refused(error)) => Err(error.clone()),
            Some(Identity::Anonymous) | None => Err(ApiError::unauthenticated(None)),
        }
    }
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    validation: Validation,
}

enum Keys {
    Fixed(DecodingKey),
    Secret { client: SecretsClient, id: String, cache: Refreshing<Vec<DecodingKey>> },
    Jwks { upstream: Upstream, url: String, algorithm: Algorithm, cache: Refreshing<HashMap<String, DecodingKey>> },
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// The claims that are read. A type other than these fails the token.
#[derive(Deserialize)]
struct Claims {
    sub: Option<Id>,
    user_id: Option<Id>,
    plan: Option<String>,
    #[serde(rename = "exp")]
    _exp: u64,
}

impl Auth {
    /// Builds the verifier.
    ///
    /// # Errors
    /// When the JWKS address cannot be used.
    pub fn new(config: &JwtConfig, secrets: &SecretsClient) -> Result<Self, ConfigError> {
        let (keys, algorithm) = match &config.keys {
            JwtKeys::Secret(secret) => (Keys::Fixed(DecodingKey::from_secret(secret.as_bytes())), Algorithm::HS256),
            JwtKeys::SecretId(id) => (
                Keys::Secret { client: secrets.clone(), id: id.clone(), cache: Refreshing::default() },
                Algorithm::HS256,
            ),
            JwtKeys::Jwks { url, algorithm } => {
                let upstream = Upstream::new().map_err(|why| ConfigError::new("JWT_JWKS_URL", why.to_string()))?;
                let cache = Refreshing::default();
                (Keys::Jwks { upstream, url: url.clone(), algorithm: *algorithm, cache }, *algorithm)
            }
        };
        // The library's defaults are laxer: 60 s of leeway, no nbf, only exp required.
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        Ok(Self(Arc::new(Inner { keys, validation })))
    }

    /// Fetches the keys ahead of the first request.
    ///
    /// # Errors
    /// When the keys were fetched and cannot be used. A source that is down is only logged: it may come back.
    pub async fn warm_up(&self) -> Result<(), ConfigError> {
        if let Keys::Secret { client, id, cache } = &self.0.keys {
            let secrets = current_and_previous(client, id).await;
            if let Ok(secrets) = &secrets {
                check_secret(&secrets[0])
                    .map_err(|problem| ConfigError::new("JWT_SECRET_ID", format!("names a secret that {problem}")))?;
            }
            let loaded = cache.get(async || secrets.map(to_keys)).await;
            if let Err(error) = loaded {
                tracing::warn!(cause = error.causes(), "started without the JWT secret");
            }
        }
        Ok(())
    }

    /// Finds out who sends a request that has an `Authorization` header.
    pub async fn identify(&self, headers: &HeaderMap) -> Identity {
        match self.verify(headers).await {
            Ok(caller) => Identity::Verified(caller),
            Err(error) => Identity::Refused(error),
        }
    }

    async fn verify(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let token = bearer(headers)?;
        let header = decode_header(token).map_err(|_| ApiError::unauthenticated(Some("it is not a JSON Web Token")))?;
        // No extension is understood here, so one that must be understood refuses the token (RFC 7515, section 4.1.11).
        if header.crit.is_some() || header.extras.inner().contains_key("b64") {
            return Err(ApiError::unauthenticated(Some("it asks for an extension that is not supported")));
        }
        let claims = match &self.0.keys {
            Keys::Fixed(key) => self.check(token, key).map_err(|error| refused(&error))?,
            Keys::Secret { .. } => self.check_with_secret(token).await?,
            Keys::Jwks { .. } => self.check_with_jwks(token, header.kid.as_deref()).await?,
        };
        let user = claims.sub.or(claims.user_id).ok_or(ApiError::unauthenticated(Some("it names no user")))?;
        let plan = if claims.plan.as_deref() == Some("premium") { Plan::Premium } else { Plan::Free };
        Ok(Caller { user, plan })
    }

    fn check(&self, token: &str, key: &DecodingKey) -> Result<Claims, JwtError> {
        decode::<Claims>(token, key, &self.0.validation).map(|data| data.claims)
    }

    /// Tries the current and the previous secret, then once more after a refresh: a rotation may just have happened.
    async fn check_with_secret(&self, token: &str) -> Result<Claims, ApiError> {
        let Keys::Secret { client, id, cache } = &self.0.keys else {
            return Err(ApiError::internal("no secret is configured"));
        };
        let fetch = async || current_and_previous(client, id).await.map(to_keys);
        let keys = cache.get(fetch).await?;
        match self.check_any(token, &keys) {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                match cache.newer_than(&keys, fetch).await? {
                    Some(newer) => self.check_any(token, &newer).map_err(|error| refused(&error)),
                    None => Err(refused(&error)),
                }
            }
            result => result.map_err(|error| refused(&error)),
        }
    }

    fn check_any(&self, token: &str, keys: &[DecodingKey]) -> Result<Claims, JwtError> {
        let mut result = Err(ErrorKind::InvalidSignature.into());
        for key in keys {
            result = self.check(token, key);
            if !matches!(&result, Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature)) {
                break;
            }
        }
        result
    }

    /// The key id is only ever looked up in the fetched set. An unknown one refreshes the set, at most every 30 seconds.
    async fn check_with_jwks(&self, token: &str, kid: Option<&str>) -> Result<Claims, ApiError> {
        let Keys::Jwks { upstream, url, algorithm, cache } = &self.0.keys else {
            return Err(ApiError::internal("no key set is configured"));
        };
        let fetch = async || fetch_jwks(upstream, url, *algorithm).await;
        let find = |keys: &HashMap<String, DecodingKey>| match kid {
            Some(kid) => keys.get(kid).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        };
        let keys = cache.get(fetch).await?;
        let key = match find(&keys) {
            Some(key) => Some(key),
            None => cache.newer_than(&keys, fetch).await?.and_then(|newer| find(&newer)),
        };
        let key = key.ok_or(ApiError::unauthenticated(Some("its key is not known")))?;
        self.check(token, &key).map_err(|error| refused(&error))
    }
}

/// The one token of the one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::unauthenticated(Some("there is more than one Authorization header")));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(ApiError::unauthenticated(Some("the Authorization header is not a bearer token")))?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(ApiError::unauthenticated(Some("it is too long")));
    }
    Ok(token)
}

fn to_keys(secrets: Vec<String>) -> Vec<DecodingKey> {
    // A previous secret from a time of laxer rules must not verify anything.
    let strong = secrets.into_iter().filter(|secret| check_secret(secret).is_ok());
    strong.map(|secret| DecodingKey::from_secret(secret.as_bytes())).collect()
}

async fn fetch_jwks(
    upstream: &Upstream,
    url: &str,
    algorithm: Algorithm,
) -> Result<HashMap<String, DecodingKey>, upstream::Error> {
    let bytes = upstream.get(url, MAX_JWKS_BYTES).await?;
    let set: JwkSet = serde_json::from_slice(&bytes)?;
    let usable = set.keys.iter().filter(|jwk| {
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let named = jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
        signs && named
    });
    let keys = usable.filter_map(|jwk| {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        (key.family() == algorithm.family()).then(|| (jwk.common.key_id.clone().unwrap_or_default(), key))
    });
    Ok(keys.collect())
}

fn refused(error: &JwtError) -> ApiError {
    let reason = match error.kind() {
        ErrorKind::ExpiredSignature => return ApiError::token_expired(),
        ErrorKind::InvalidSignature => "its signature does not verify",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "its algorithm is not accepted",
        ErrorKind::InvalidIssuer => "its issuer is not accepted",
        ErrorKind::InvalidAudience => "its audience is not accepted",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::MissingRequiredClaim(_) => "a required claim is missing",
        _ => "it is malformed",
    };
    ApiError::unauthenticated(Some(reason))
}
