//! Signed addresses: HMAC-SHA256 over the canonical request.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Refusal;

/// Signs and verifies. The first of several keys is the one to sign with; the others still verify, for rotation.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// A key of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let long_enough = secret.len() >= 32;
        long_enough.then(|| Hmac::new_from_slice(secret).ok()).flatten().map(Self)
    }

    /// The signature in lower-case hexadecimal.
    pub(super) fn sign(&self, text: &str) -> String {
        let bytes = self.0.clone().chain_update(text).finalize().into_bytes();
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

/// Never shows the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Takes the same time for every wrong signature.
pub(super) fn check(keys: &[SigningKey], text: &str, signature: &str) -> Result<(), Refusal> {
    let signature = from_hex(signature).ok_or(Refusal::WrongSignature)?;
    // Every key is tried, whichever fits.
    let fits = keys
        .iter()
        .fold(false, |fits, SigningKey(mac)| fits | mac.clone().chain_update(text).verify_slice(&signature).is_ok());
    if fits { Ok(()) } else { Err(Refusal::WrongSignature) }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
