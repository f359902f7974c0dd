//! Sync tokens: where a client stands in a scope's changes, opaque to it and bound to it.
//!
//! `v1.<key id>.<payload>.<mac>`, URL-safe, at most 512 bytes. The mac covers the scope as well, so that a token of one
//! user is nothing in the hands of another.

use std::{fmt, sync::Arc};

use aws_sdk_secretsmanager::Client;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Id,
    config::{ConfigError, Env, SecretSource},
    error::{ApiError, Code},
    secrets::Secret,
};

/// Longest token, in bytes.
const MAX_BYTES: usize = 512;
/// Bytes of the mac that are sent: 128 bits.
const MAC_BYTES: usize = 16;

/// Where a client stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "k")]
pub enum Position {
    /// In a first or full sync: the rows up to this one have been sent. `base` is where the log takes over.
    Snapshot {
        /// A seq from before the sync began.
        #[serde(rename = "b")]
        base: u64,
        /// The newest of the rows that have been read.
        #[serde(rename = "t")]
        top: Top,
        /// The last row that was sent.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<Id>,
    },
    /// In a first or full sync: all rows have been sent, the log is being replayed from before its beginning.
    Redo {
        /// The last change that was sent.
        #[serde(rename = "s")]
        seq: u64,
        /// The newest of the rows that have been read: the replay is not over before it.
        #[serde(rename = "t")]
        top: Top,
    },
    /// In step with the log.
    Log {
        /// The last change that was sent.
        #[serde(rename = "s")]
        seq: u64,
    },
}

/// The newest change among some rows: its seq, and when it was made, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Top(pub u64, pub i64);

/// A position in one particular log, seen through one particular view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// Where.
    #[serde(flatten)]
    pub position: Position,
    /// Which log. Whoever restores a backup has to renew it there. Empty before the first write of a scope.
    #[serde(rename = "e")]
    pub epoch: String,
    /// A hash of the level, the fields and the filters of the request.
    #[serde(rename = "v")]
    pub view: String,
}

/// Makes and reads tokens with a secret in its current and previous value.
pub struct Tokens {
    keys: Vec<Key>,
}

/// Tokens whose secret may be rotated in Secrets Manager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncTokens(Arc<Secret>);

impl SyncTokens {
    /// Reads `SYNC_SECRET` or `SYNC_SECRET_ID`.
    ///
    /// # Errors
    /// When neither is set, or both, or when the secret is too short.
    pub fn from_env(env: &Env, client: &Client) -> Result<Self, ConfigError> {
        let source = SecretSource::from_env(env, "SYNC_SECRET")?;
        let source = source.ok_or_else(|| ConfigError::new("SYNC_SECRET", "is not set, nor is SYNC_SECRET_ID"))?;
        Ok(Self(Arc::new(Secret::new(&source, client))))
    }

    /// See [`Tokens::seal`].
    ///
    /// # Errors
    /// `UNAVAILABLE` when the secret cannot be read.
    pub async fn seal(&self, scope: &str, bookmark: &Bookmark) -> Result<String, ApiError> {
        Tokens::new(self.0.values().await?.iter().map(String::as_str))?.seal(scope, bookmark)
    }

    /// See [`Tokens::open`]. A token of a key that is not known yet refreshes the secret: another instance may have seen
    /// a rotation first.
    ///
    /// # Errors
    /// `INVALID_SYNC_TOKEN`, or `UNAVAILABLE` when the secret cannot be read.
    pub async fn open(&self, scope: &str, token: &str) -> Result<Bookmark, ApiError> {
        let values = self.0.values().await?;
        let opened = Tokens::new(values.iter().map(String::as_str))?.open(scope, token);
        if opened.is_err()
            && let Some(newer) = self.0.newer_than(&values).await
        {
            return Tokens::new(newer.iter().map(String::as_str))?.open(scope, token);
        }
        opened
    }
}

struct Key {
    id: String,
    mac: Hmac<Sha256>,
}

/// Never shows a key.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// A short hash of everything that shapes a client's view.
pub fn view_hash(view: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(view)[..9])
}

impl Tokens {
    /// Tokens are made with the first secret and read with any.
    ///
    /// # Errors
    /// `INTERNAL` when there is no secret.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, ApiError> {
        let keys: Vec<Key> = secrets.into_iter().filter_map(Key::new).collect();
        if keys.is_empty() { Err(ApiError::internal("there is no secret for sync tokens")) } else { Ok(Self { keys }) }
    }

    /// The token of a position in a scope.
    ///
    /// # Errors
    /// `INTERNAL`, never in practice.
    pub fn seal(&self, scope: &str, bookmark: &Bookmark) -> Result<String, ApiError> {
        let key = &self.keys[0];
        let payload = serde_json::to_vec(bookmark).map_err(ApiError::internal)?;
        let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
        let mac = key.sign(scope, &payload).finalize().into_bytes();
        Ok(format!("v1.{}.{payload}.{}", key.id, BASE64_URL_SAFE_NO_PAD.encode(&mac[..MAC_BYTES])))
    }

    /// The position that a token of this scope names.
    ///
    /// # Errors
    /// `INVALID_SYNC_TOKEN` for anything that was not made here for this scope.
    pub fn open(&self, scope: &str, token: &str) -> Result<Bookmark, ApiError> {
        self.read(scope, token)
            .ok_or_else(|| ApiError::new(Code::InvalidSyncToken, "The sync token was not made here for this caller."))
    }

    fn read(&self, scope: &str, token: &str) -> Option<Bookmark> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let (version, key_id, payload, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "v1" || parts.next().is_some() {
            return None;
        }
        let key = self.keys.iter().find(|key| key.id == key_id)?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok().filter(|mac| mac.len() == MAC_BYTES)?;
        key.sign(scope, payload).verify_truncated_left(&mac).ok()?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

impl Key {
    fn new(secret: &str) -> Option<Self> {
        // The same secret may sign other things elsewhere.
        let derived = Sha256::new().chain_update("sync token\0").chain_update(secret).finalize();
        let id = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(derived)[..3]);
        Some(Self { id, mac: Hmac::new_from_slice(&derived).ok()? })
    }

    fn sign(&self, scope: &str, payload: &str) -> Hmac<Sha256> {
        // The length keeps scope and payload apart.
        let length = u64::try_from(scope.len()).unwrap_or(u64::MAX).to_be_bytes();
        self.mac.clone().chain_update(length).chain_update(scope).chain_update(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 2] = ["a secret that is long enough to be one", "another secret, just as long as the first"];

    fn bookmark(position: Position) -> Bookmark {
        Bookmark { position, epoch: "0123456789abcdef".into(), view: view_hash("v2:detail") }
    }

    #[test]
    fn tokens_come_back_and_are_short_enough() {
        let tokens = Tokens::new(SECRETS).expect("secrets");
        let longest: Id = "x".repeat(64).parse().expect("legal");
        for position in [
            Position::Log { seq: 0 },
            Position::Redo { seq: u64::MAX, top: Top(u64::MAX, i64::MIN) },
            Position::Snapshot { base: u64::MAX, top: Top(u64::MAX, i64::MIN), after: None },
            Position::Snapshot { base: u64::MAX, top: Top(u64::MAX, i64::MIN), after: Some(longest) },
        ] {
            let bookmark = bookmark(position);
            let token = tokens.seal("U#a", &bookmark).expect("sealed");
            assert!(token.len() <= MAX_BYTES, "{}", token.len());
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{token}");
            assert_eq!(tokens.open("U#a", &token).expect("ours"), bookmark);
        }
    }

    #[test]
    fn a_rotated_secret_still_reads_and_a_dropped_one_does_not() {
        let old = Tokens::new([SECRETS[0]]).expect("secret");
        let token = old.seal("U#a", &bookmark(Position::Log { seq: 7 })).expect("sealed");
        let rotated = Tokens::new([SECRETS[1], SECRETS[0]]).expect("secrets");
        assert!(rotated.open("U#a", &token).is_ok());
        assert!(Tokens::new([SECRETS[1]]).expect("secret").open("U#a", &token).is_err());
    }

    #[test]
    fn foreign_cut_and_tampered_tokens_are_refused() {
        let tokens = Tokens::new(SECRETS).expect("secrets");
        let token = tokens.seal("U#a", &bookmark(Position::Log { seq: 7 })).expect("sealed");
        for scope in ["U#b", "U#", "CATALOG", "U#a\0"] {
            assert!(tokens.open(scope, &token).is_err(), "{scope}");
        }
        for cut in 0..token.len() {
            assert!(tokens.open("U#a", &token[..cut]).is_err(), "cut at {cut}");
            let mut bytes = token.clone().into_bytes();
            bytes[cut] = if bytes[cut] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(bytes).expect("ASCII");
            assert!(tokens.open("U#a", &tampered).is_err(), "changed at {cut}");
        }
        assert!(tokens.open("U#a", &format!("{token}.x")).is_err());
        assert!(tokens.open("U#a", &"v1.".repeat(300)).is_err());
    }
}
