//! Which tokens are accepted.

use jsonwebtoken::Algorithm;

use super::{ConfigError, Env, SecretSource};

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

impl JwtConfig {
    pub(super) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            keys: JwtKeys::from_env(env)?,
            issuer: env.required("JWT_ISSUER")?.to_owned(),
            audience: env.required("JWT_AUDIENCE")?.to_owned(),
        })
    }
}

impl JwtKeys {
    pub(super) fn from_env(env: &Env) -> Result<Self, ConfigError> {
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
