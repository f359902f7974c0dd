//! The keys that verify tokens, and when they are fetched again.

use std::{collections::HashMap, fmt, time::Duration};

use aws_sdk_secretsmanager::Client as SecretsClient;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    errors::{Error as JwtError, ErrorKind},
    jwk::{Jwk, JwkSet, PublicKeyUse},
};

use super::refused;
use crate::{
    backend::upstream::{Client, Failure},
    config::{ConfigError, JwtKeys},
    error::ApiError,
    secrets::{Refreshing, Secret},
};

/// Largest key set that is read, in bytes.
const MAX_JWKS_BYTES: usize = 256 * 1024;
/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the keys come from.
pub(super) enum Keys {
    /// An HS256 secret.
    Secret(Secret),
    /// An identity provider.
    Jwks(Box<Jwks>),
}

/// The public keys of an identity provider, by key id.
pub(super) struct Jwks {
    client: Client,
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
            JwtKeys::Secret(source) => (Self::Secret(Secret::new(source, secrets)), Algorithm::HS256),
            JwtKeys::Jwks { url, algorithm } => {
                let client = Client::new().map_err(|why| ConfigError::new("JWT_JWKS_URL", why.to_string()))?;
                let cache = Refreshing::default();
                let jwks = Jwks { client, url: url.clone(), algorithm: *algorithm, cache };
                (Self::Jwks(Box::new(jwks)), *algorithm)
            }
        })
    }

    /// See [`Auth::warm_up`](super::Auth::warm_up).
    pub(super) async fn warm_up(&self) -> Result<(), ConfigError> {
        match self {
            Self::Secret(secret) => secret.warm_up("JWT_SECRET_ID").await,
            Self::Jwks(jwks) => {
                // A failure is logged where it is noticed.
                let _ = jwks.cache.get(async || jwks.fetch().await).await;
                Ok(())
            }
        }
    }

    /// Runs `check` with the key that fits, or with each that may.
    pub(super) async fn verify<C>(
        &self,
        kid: Option<&str>,
        check: impl Fn(&DecodingKey) -> Result<C, JwtError>,
    ) -> Result<C, ApiError> {
        match self {
            Self::Secret(secret) => with_secret(secret, check).await,
            Self::Jwks(jwks) => check(&jwks.find(kid).await?).map_err(|error| refused(&error)),
        }
    }
}

/// Tries the current and the previous value, then once more after a refresh: a rotation may just have happened.
async fn with_secret<C>(secret: &Secret, check: impl Fn(&DecodingKey) -> Result<C, JwtError>) -> Result<C, ApiError> {
    let values = secret.values().await?;
    let mut result = check_each(&values, &check);
    if is_bad_signature(&result)
        && let Some(newer) = secret.newer_than(&values).await
    {
        result = check_each(&newer, &check);
    }
    result.map_err(|error| refused(&error))
}

/// The first result that is not a wrong signature.
fn check_each<C>(values: &[String], check: impl Fn(&DecodingKey) -> Result<C, JwtError>) -> Result<C, JwtError> {
    let mut results = values.iter().map(|value| check(&DecodingKey::from_secret(value.as_bytes())));
    results.find(|result| !is_bad_signature(result)).unwrap_or_else(|| Err(ErrorKind::InvalidSignature.into()))
}

fn is_bad_signature<C>(result: &Result<C, JwtError>) -> bool {
    matches!(result, Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature))
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

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, Failure> {
        let bytes = self.client.get(&self.url, MAX_JWKS_BYTES, PATIENCE).await?;
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
