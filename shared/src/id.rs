//! Identifiers as clients send them.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest identifier, in bytes.
const MAX_LEN: usize = 64;

/// An identifier that matches `^[A-Za-z0-9_-]{1,64}$`: safe in a path, a key and a log line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct Id(String);

/// Why a text is not an [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters out of A-Z, a-z, 0-9, _ and -")]
pub struct InvalidId;

impl Id {
    /// A new identifier that sorts by the time of its making (UUID version 7, RFC 9562).
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(legal) { Ok(Self(text)) } else { Err(InvalidId) }
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.to_owned().try_into()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_refuses_at_the_edges() {
        let longest = "a".repeat(64);
        let too_long = "a".repeat(65);
        for good in ["a", "user-123", "A_9", longest.as_str()] {
            assert!(good.parse::<Id>().is_ok(), "{good}");
        }
        for bad in ["", too_long.as_str(), "a b", "a/b", "ü", "a#b", "a\n"] {
            assert_eq!(bad.parse::<Id>(), Err(InvalidId), "{bad:?}");
        }
    }

    #[test]
    fn generated_ids_are_legal_and_sort_by_time() {
        let (first, second) = (Id::generate(), Id::generate());
        assert!(first.as_str().parse::<Id>().is_ok());
        assert!(first < second);
    }
}
