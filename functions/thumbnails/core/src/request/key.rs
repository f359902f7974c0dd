//! The key of a picture.

use std::fmt;

use super::Refusal;

const MAX_BYTES: usize = 256;

/// The key of an object in the bucket: segments of letters, digits, `-`, `_` and `.`, joined by `/`.
///
/// There is nothing in it that a URL, a path or a header could take for something else: no scheme, host or port, no
/// percent-encoding, no backslash, no control character, and no segment that starts with a dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// Reads the path after `/images/` as it came over the wire.
    ///
    /// # Errors
    /// When it is not a key.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let invalid = |reason| Err(Refusal::Invalid { field: "key", reason });
        if text.is_empty() || text.len() > MAX_BYTES {
            return invalid("must have 1 to 256 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)) {
            return invalid("may have letters, digits, '-', '_', '.' and '/' only");
        }
        if text.split('/').any(|segment| segment.is_empty() || segment.starts_with('.')) {
            return invalid("must not have a part that is empty or starts with a dot");
        }
        Ok(Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
