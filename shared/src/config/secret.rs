//! Where secrets come from.

use super::{ConfigError, Env};

/// The shortest secret that is accepted, in bytes: the length of an HS256 hash (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

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
