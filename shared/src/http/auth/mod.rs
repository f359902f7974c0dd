//! Bearer tokens: JSON Web Tokens as RFC 8725 asks for, from the header to a verified caller.

mod keys;

use std::sync::Arc;

use aws_sdk_secretsmanager::Client as SecretsClient;
use axum::extract::FromRequestParts;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use jsonwebtoken::{
    DecodingKey, Validation, decode, decode_header,
    errors::{Error as JwtError, ErrorKind},
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::keys::Keys;
use crate::{
    Id,
    config::{ConfigError, JwtConfig},
    error::ApiError,
};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far clocks may differ, in seconds.
const LEEWAY_SECONDS: u64 = 30;

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
    /// The user's id: the claim `sub`, or else `user_id`; a hash of it where it is not a legal id.
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

/// The claims that are read. A type other than these fails the token.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    /// Read when there is no `sub`.
    user_id: Option<Value>,
    plan: Option<Value>,
    /// A whole number; the library would round others.
    #[serde(rename = "exp")]
    _exp: u64,
}

impl Claims {
    fn caller(&self) -> Option<Caller> {
        let subject =
            self.sub.as_deref().or_else(|| self.user_id.as_ref()?.as_str()).filter(|subject| !subject.is_empty())?;
        let plan = if self.plan.as_ref().is_some_and(|plan| plan == "premium") { Plan::Premium } else { Plan::Free };
        Some(Caller { user: user_id(subject), plan })
    }
}

/// The user's id: the subject itself where it is a legal id, else `u-` and a hash of it. Identity providers use other
/// characters, such as the bar in `auth0|5f7c…`, that have no place in a path or a key.
fn user_id(subject: &str) -> Id {
    subject.parse().unwrap_or_else(|_| {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(subject));
        format!("u-{digest}").parse().unwrap_or_else(|_| Id::generate())
    })
}

impl Auth {
    /// Builds the verifier.
    ///
    /// # Errors
    /// When the JWKS address cannot be used.
    pub fn new(config: &JwtConfig, secrets: &SecretsClient) -> Result<Self, ConfigError> {
        let (keys, algorithm) = Keys::new(&config.keys, secrets)?;
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
        self.0.keys.warm_up().await
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
        let check = |key: &DecodingKey| decode::<Claims>(token, key, &self.0.validation).map(|data| data.claims);
        let claims = self.0.keys.verify(header.kid.as_deref(), check).await?;
        claims.caller().ok_or_else(|| ApiError::unauthenticated(Some("it names no user")))
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

fn refused(error: &JwtError) -> ApiError {
    let reason = match error.kind() {
        ErrorKind::ExpiredSignature => return ApiError::token_expired(),
        ErrorKind::InvalidSignature => "its signature does not verify",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "its algorithm is not accepted",
        ErrorKind::InvalidIssuer => "its issuer is not accepted",
        ErrorKind::InvalidAudience => "its audience is not accepted",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it has no exp",
            "iss" => "it has no iss",
            "aud" => "it has no aud",
            _ => "a required claim is missing",
        },
        _ => "it is malformed",
    };
    ApiError::unauthenticated(Some(reason))
}
