//! Where an image is, in sizes that fit a phone.
//!
//! With a secret the addresses are signed, in the form that the images route checks: docs/thumbnails.md has it. An
//! address stays the same for a month, so that what caches keep of an answer, and of the image, stays good.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_secretsmanager::Client;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use sha2::Sha256;

use crate::{
    config::{ConfigError, Env},
    error::ApiError,
    secrets::Rotating,
    slim::Slim,
};

/// The widths that version 2 offers, in pixels.
const WIDTHS: [u16; 3] = [320, 640, 1080];

const DAY: u64 = 24 * 60 * 60;
/// Days that a signed address is good for when it is handed out: more than this, and at most twice as many.
const MONTH: u64 = 30;

/// Where images are, and the secret that signs their addresses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    base: Arc<str>,
    secret: Option<Rotating>,
}

impl Images {
    /// Reads `IMAGES_URL` (`/images`), an address of this service's own images route or of a CDN in front of it, and
    /// `IMAGES_SECRET` or `IMAGES_SECRET_ID` where addresses are to be signed.
    ///
    /// # Errors
    /// When the secret is too short, or given twice.
    pub fn from_env(env: &Env, secrets: &Client) -> Result<Self, ConfigError> {
        let base = env.optional("IMAGES_URL").unwrap_or("/images").trim_end_matches('/').into();
        Ok(Self { base, secret: Rotating::from_env(env, "IMAGES_SECRET", secrets)? })
    }

    /// The addresses as they are now.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the secret cannot be read.
    pub async fn addresses(&self) -> Result<Addresses, ApiError> {
        let signer = match &self.secret {
            None => None,
            Some(secret) => {
                let values = secret.values().await?;
                let current = values.first().ok_or_else(|| ApiError::unavailable("the images' secret is too short"))?;
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(ApiError::internal)?;
                Some(Signer::new(current, since)?)
            }
        };
        Ok(Addresses { base: Arc::clone(&self.base), signer })
    }
}

/// Turns an image's key into addresses: what a view needs besides what is stored. Of use for one request.
#[derive(Clone, Debug)]
pub struct Addresses {
    base: Arc<str>,
    signer: Option<Signer>,
}

/// An image in version 2: one address, a choice of widths, and what to show until one of them is there.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Slim)]
pub struct ImageView {
    /// The original.
    pub url: String,
    /// The same image, resized.
    #[slim(nested)]
    pub srcset: Vec<Source>,
    /// A `ThumbHash` in base64.
    pub placeholder: Option<String>,
}

/// One width of an image.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Slim)]
pub struct Source {
    /// Width in pixels.
    pub w: u16,
    /// Address of the image at this width.
    pub url: String,
}

impl Addresses {
    /// Addresses without signatures. `base` is the part in front of the key, without a trailing slash.
    pub fn unsigned(base: &str) -> Self {
        Self { base: base.into(), signer: None }
    }

    /// The original.
    pub fn original(&self, key: &str) -> String {
        self.address(key, "", "q=80")
    }

    /// A square WebP of 300 pixels: version 1's `thumbnail`.
    pub fn thumbnail(&self, key: &str) -> String {
        self.address(key, "w=300&h=300&format=webp", "w=300&h=300&fit=cover&q=80")
    }

    /// Version 2's image, with its placeholder where one is known.
    pub fn view(&self, key: &str, placeholder: Option<&str>) -> ImageView {
        let at = |w| Source { w, url: self.address(key, &format!("w={w}"), &format!("w={w}&q=80")) };
        let srcset = WIDTHS.map(at).into();
        ImageView { url: self.original(key), srcset, placeholder: placeholder.map(str::to_owned) }
    }

    /// Changes on every day on which some address may, and with the secret: a part of the tag of an answer with many
    /// images.
    pub fn today(&self) -> String {
        let mark = self.signer.as_ref().map(|signer| signer.sign(&signer.day.to_string())).unwrap_or_default();
        format!("{}/{mark}", self.base)
    }

    /// Changes before any of these addresses ends: whoever keeps them needs all of them anew then. It does not change
    /// with the secret, since addresses of the previous value go on being good, and instances that have seen a rotation
    /// must agree with those that have not.
    pub fn edition(&self) -> String {
        self.signer.as_ref().map(|signer| format!("month {}", signer.day / MONTH)).unwrap_or_default()
    }

    /// `canonical` is how the images route writes what is `asked` for, without the format, which is not signed.
    fn address(&self, key: &str, asked: &str, canonical: &str) -> String {
        let mut address = format!("{}/{key}", self.base);
        let signature = self.signer.as_ref().map(|signer| signer.query(key, canonical)).unwrap_or_default();
        for (part, separator) in [asked, &signature].into_iter().filter(|part| !part.is_empty()).zip(["?", "&"]) {
            address.push_str(separator);
            address.push_str(part);
        }
        address
    }
}

/// Signs as `thumbnails_core::Request::signed` does, which an API function does not link for its size.
#[derive(Clone)]
struct Signer {
    mac: Hmac<Sha256>,
    /// Days since 1970.
    day: u64,
}

impl Signer {
    fn new(secret: &str, since_1970: Duration) -> Result<Self, ApiError> {
        let mac = Hmac::new_from_slice(secret.as_bytes()).map_err(ApiError::internal)?;
        Ok(Self { mac, day: since_1970.as_secs() / DAY })
    }

    /// The parameters that a signature adds to the address of this image.
    fn query(&self, key: &str, canonical: &str) -> String {
        let expires = format!("expires={}", self.end(key) * DAY);
        let signature = self.sign(&format!("/images/{key}?{canonical}&{expires}"));
        format!("{expires}&signature={signature}")
    }

    /// The day on which an address of this image ends. It stays the same for a month, and moves on at another day for
    /// each image: otherwise every thumbnail in every cache would go out of use in the same second.
    fn end(&self, key: &str) -> u64 {
        let offset = key.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % MONTH;
        self.day + 2 * MONTH - (self.day + offset) % MONTH
    }

    /// In lower-case hexadecimal.
    fn sign(&self, text: &str) -> String {
        let bytes = self.mac.clone().chain_update(text).finalize().into_bytes();
        format!("{bytes:x}")
    }
}

/// Never shows the key.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer(day {})", self.day)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KEY: &str = "products/p-0001.jpg";

    fn on(day: u64, secret: &str) -> Addresses {
        let signer = Signer::new(secret, Duration::from_secs(day * DAY + 12_345)).expect("any secret");
        Addresses { base: "/images".into(), signer: Some(signer) }
    }

    fn end(address: &str) -> u64 {
        let (_, rest) = address.split_once("expires=").expect("an end");
        rest.split('&').next().expect("a value").parse().expect("seconds")
    }

    #[test]
    fn without_a_secret_there_is_nothing_to_sign() {
        let addresses = Addresses::unsigned("https://cdn.example.com/images");
        assert_eq!(addresses.original(KEY), "https://cdn.example.com/images/products/p-0001.jpg");
        let thumbnail = "https://cdn.example.com/images/products/p-0001.jpg?w=300&h=300&format=webp";
        assert_eq!(addresses.thumbnail(KEY), thumbnail);
    }

    #[test]
    fn an_address_stays_the_same_for_a_month_and_is_good_for_another() {
        let mut changes = 0;
        let mut last = on(20_000, "secret").original(KEY);
        for day in 20_001..20_001 + 12 * MONTH {
            let address = on(day, "secret").original(KEY);
            let left = end(&address) - day * DAY;
            assert!(left > MONTH * DAY && left <= 2 * MONTH * DAY, "{left} seconds on day {day}");
            changes += u32::from(address != last);
            last = address;
        }
        assert_eq!(changes, 12);
    }

    #[test]
    fn images_do_not_change_their_addresses_on_the_same_day() {
        let today = on(20_000, "secret");
        let ends: HashSet<u64> = (0..300).map(|n| end(&today.original(&format!("products/p-{n:04}.jpg")))).collect();
        assert!(ends.len() as u64 > MONTH / 2, "{ends:?}");
    }

    #[test]
    fn tags_change_every_day_and_with_the_secret_and_editions_every_month() {
        let first = 20_010; // a multiple of a month
        let at = |day| on(day, "secret");
        assert_eq!(at(first).edition(), at(first + MONTH - 1).edition());
        assert_ne!(at(first).edition(), at(first + MONTH).edition());
        assert_eq!(at(first).edition(), on(first, "another").edition());
        assert_ne!(at(first).edition(), Addresses::unsigned("/images").edition());
        assert_ne!(at(first).today(), at(first + 1).today());
        assert_ne!(at(first).today(), on(first, "another").today());
    }
}
