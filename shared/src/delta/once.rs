//! A write that happens once, however often its request is sent (`Idempotency-Key`, an IETF draft of the HTTPAPI group).
//!
//! The key's record and the row are stored in one transaction. So there is no state in between: a request finds the
//! record and gets the first answer, or it does not and makes the row. Of two at the same time one makes it, and the
//! other finds the record in its own refusal.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    Entity, Record,
    schema::{Item, integer, text},
};
use crate::{
    Id,
    error::{ApiError, Code},
};

/// How long a key is remembered.
const RETENTION: Duration = Duration::from_hours(24);

fn hash(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// A client's id for one mutation of a batch, with a hash of what it does.
///
/// The row keeps the last ones, so that a batch whose answer was lost can be sent again and applies once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutationId {
    id: Id,
    content: String,
}

impl MutationId {
    /// `content` is what the mutation does, in a form that does not depend on white space.
    pub fn new(id: Id, content: &[u8]) -> Self {
        let mut content = hash(content);
        // 48 bits tell an honest mistake; there is nobody to deceive but oneself.
        content.truncate(8);
        Self { id, content }
    }

    /// Whether a stored one has the same id.
    pub(super) fn has_id_of(&self, stored: &str) -> bool {
        stored.split_once('.').is_some_and(|(id, _)| id == self.id.as_str())
    }

    /// # Errors
    /// `IDEMPOTENCY_MISMATCH` when the stored one has another content.
    pub(super) fn is(&self, stored: &str) -> Result<(), ApiError> {
        if stored == self.to_string() {
            return Ok(());
        }
        let message = "This mutationId was used for another mutation; make a new one for each.";
        Err(ApiError::new(Code::IdempotencyMismatch, message))
    }
}

/// As a row stores it: an id has no dot.
impl fmt::Display for MutationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.content)
    }
}

/// A client's key for one request, with a hash of what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    sort_key: String,
    payload: String,
}

impl Once {
    /// `operation` says what the key is for, since a client may use it again for something else; `payload` is what is
    /// asked for, in a form that does not depend on white space.
    pub fn new(operation: &str, key: &str, payload: &[u8]) -> Self {
        let sort_key = format!("K#{}", hash(format!("{operation}\0{key}").as_bytes()));
        Self { sort_key, payload: hash(payload) }
    }

    pub(super) fn sort_key(&self) -> &str {
        &self.sort_key
    }

    /// The key's record: the first answer, for as long as a client may ask again.
    pub(super) fn item<E: Entity>(&self, scope: &str, record: &Record<E>) -> Result<Item, ApiError> {
        let mut item = record.image(scope, self.sort_key.clone())?;
        item.insert("payload".to_owned(), text(&*self.payload));
        record.expire(&mut item, RETENTION);
        Ok(item)
    }

    /// The first answer, out of the key's record; `None` when the record is past its time.
    ///
    /// # Errors
    /// `IDEMPOTENCY_MISMATCH` when the key came with something else before.
    pub(super) fn replay<E: Entity>(&self, item: &Item, now: Timestamp) -> Result<Option<Record<E>>, ApiError> {
        if integer::<i64>(item, "expiresAt")? < now.as_second() {
            return Ok(None);
        }
        if item.get("payload").and_then(|payload| payload.as_s().ok()) != Some(&self.payload) {
            let message = "This Idempotency-Key was used for another request; make a new key for each.";
            return Err(ApiError::new(Code::IdempotencyMismatch, message));
        }
        Record::from_item(item).map(Some)
    }
}
