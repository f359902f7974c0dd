//! The keys that verify tokens, and when they are fetched again.

use std::{collections::HashMap, fmt};

use aws_sdk_secretsmanager::Client as SecretsClient;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    errors::{Error as JwtError, ErrorKind},
    jwk::{Jwk, JwkSet, PublicKeyUse},
};

use super::refused;
use crate::{
    backend::upstream::{self, Upstream},
    config::{ConfigError, JwtKeys, check_secret},
    error::ApiError,
    secrets::{Refreshing, current_and_previous},
};

/// Largest key set that is read, in bytes.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Where the keys come from.
pub(super) enum Keys {
    Fixed(Box<DecodingKey>),
    Secret(Secret),
    Jwks(Box<Jwks>),
}

/// An HS256 secret in Secrets Manager: the current value and the one before it.
pub(super) struct Secret {
    client: SecretsClient,
    id: String,
    cache: Refreshing<Vec<DecodingKey>>,
}

/// The public keys of an identity provider, by key id.
pub(super) struct Jwks {
    upstream: Upstream,
    url: String,
    algorithm: Algorithm,
    cache: Refreshing<HashMap<String, DecodingKey>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    pub(super) fn new(config: &JwtKeys, secrets: &SecretsClient) -> Result<(Self, Algorithm), ConfigError> {
        Ok(match config {
            JwtKeys::Secret(secret) => {
                (Self::Fixed(Box::new(DecodingKey::from_secret(secret.as_bytes()))), Algorithm::HS256)
            }
            JwtKeys::SecretId(id) => {
                let secret = Secret { client: secrets.clone(), id: id.clone(), cache: Refreshing::default() };
                (Self::Secret(secret), Algorithm::HS256)
            }
            JwtKeys::Jwks { url, algorithm } => {
                let upstream = Upstream::new().map_err(|why| ConfigError::new("JWT_JWKS_URL", why.to_string()))?;
                let cache = Refreshing::default();
                let jwks = Jwks { upstream, url: url.clone(), algorithm: *algorithm, cache };
                (Self::Jwks(Box::new(jwks)), *algorithm)
            }
        })
    }

    /// See [`Auth::warm_up`](super::Auth::warm_up).
    pub(super) async fn warm_up(&self) -> Result<(), ConfigError> {
        let loaded = match self {
            Self::Fixed(_) => return Ok(()),
            Self::Secret(secret) => {
                let fetched = current_and_previous(&secret.client, &secret.id).await;
                if let Ok(values) = &fetched {
                    let problem = |problem| ConfigError::new("JWT_SECRET_ID", format!("names a secret that {problem}"));
                    check_secret(&values[0]).map_err(problem)?;
                }
                secret.cache.get(async || fetched.map(to_keys)).await.map(drop)
            }
            Self::Jwks(jwks) => jwks.cache.get(async || jwks.fetch().await).await.map(drop),
        };
        if let Err(error) = loaded {
            tracing::warn!(cause = error.causes(), "started without the keys that verify tokens");
        }
        Ok(())
    }

    /// Runs `check` with the key that fits, or with each that may.
    pub(super) async fn verify<C>(
        &self,
        kid: Option<&str>,
        check: impl Fn(&DecodingKey) -> Result<C, JwtError>,
    ) -> Result<C, ApiError> {
        match self {
            Self::Fixed(key) => check(key).map_err(|error| refused(&error)),
            Self::Secret(secret) => secret.verify(check).await,
            Self::Jwks(jwks) => check(&jwks.find(kid).await?).map_err(|error| refused(&error)),
        }
    }
}

impl Secret {
    /// Tries the current and the previous value, then once more after a refresh: a rotation may just have happened.
    async fn verify<C>(&self, check: impl Fn(&DecodingKey) -> Result<C, JwtError>) -> Result<C, ApiError> {
        let fetch = async || current_and_previous(&self.client, &self.id).await.map(to_keys);
        let keys = self.cache.get(fetch).await?;
        let mut result = check_each(&keys, &check);
        if is_bad_signature(&result)
            && let Some(newer) = self.cache.newer_than(&keys, fetch).await
        {
            result = check_each(&newer, &check);
        }
        result.map_err(|error| refused(&error))
    }
}

/// The first result that is not a wrong signature.
fn check_each<C>(keys: &[DecodingKey], check: impl Fn(&DecodingKey) -> Result<C, JwtError>) -> Result<C, JwtError> {
    let mut results = keys.iter().map(check);
    results.find(|result| !is_bad_signature(result)).unwrap_or_else(|| Err(ErrorKind::InvalidSignature.into()))
}

fn is_bad_signature<C>(result: &Result<C, JwtError>) -> bool {
    matches!(result, Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature))
}

fn to_keys(secrets: Vec<String>) -> Vec<DecodingKey> {
    // A previous secret from a time of laxer rules must not verify anything.
    let strong = secrets.into_iter().filter(|secret| check_secret(secret).is_ok());
    strong.map(|secret| DecodingKey::from_secret(secret.as_bytes())).collect()
}

impl Jwks {
    /// The key of this id. The id is only ever looked up in the fetched set; an unknown one refreshes the set.
    async fn find(&self, kid: Option<&str>) -> Result<DecodingKey, ApiError> {
        let find = |keys: &HashMap<String, DecodingKey>| match kid {
            Some(kid) => keys.get(kid).cloned(),
            // Without an id there must be no choice.
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        };
        let fetch = async || self.fetch().await;
        let keys = self.cache.get(fetch).await?;
        let key = match find(&keys) {
            Some(key) => Some(key),
            None => self.cache.newer_than(&keys, fetch).await.and_then(|newer| find(&newer)),
        };
        key.ok_or_else(|| ApiError::unauthenticated(Some("its key is not known")))
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, upstream::Error> {
        let bytes = self.upstream.get(&self.url, MAX_JWKS_BYTES).await?;
        let set: JwkSet = serde_json::from_slice(&bytes)?;
        Ok(set.keys.iter().filter_map(|jwk| self.usable(jwk)).collect())
    }

    /// A key for signatures, of the family of the one algorithm that is accepted.
    fn usable(&self, jwk: &Jwk) -> Option<(String, DecodingKey)> {
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let fits = jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{:?}", self.algorithm));
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let usable = signs && fits && key.family() == self.algorithm.family();
        usable.then(|| (jwk.common.key_id.clone().unwrap_or_default(), key))
    }
}
