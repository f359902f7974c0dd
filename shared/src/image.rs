//! Where an image is, in sizes that fit a phone.

use schemars::JsonSchema;

use crate::{config::Env, slim::Slim};

/// The widths that version 2 offers, in pixels.
const WIDTHS: [u16; 3] = [320, 640, 1080];

/// Turns an image's key into addresses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    base: std::sync::Arc<str>,
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

impl Images {
    /// Reads `IMAGES_URL` (`/images`): an address of this service's own images route, or of a CDN in front of it.
    pub fn from_env(env: &Env) -> Self {
        Self::new(env.optional("IMAGES_URL").unwrap_or("/images"))
    }

    /// `base` is the part of every address in front of the key, without a trailing slash.
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').into() }
    }

    /// The original.
    pub fn original(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }

    /// A square WebP of 300 pixels: version 1's `thumbnail`.
    pub fn thumbnail(&self, key: &str) -> String {
        format!("{}/{key}?w=300&h=300&format=webp", self.base)
    }

    /// Version 2's image, with its placeholder where one is known.
    pub fn view(&self, key: &str, placeholder: Option<&str>) -> ImageView {
        let url = self.original(key);
        let srcset = WIDTHS.map(|w| Source { w, url: format!("{url}?w={w}") }).into();
        ImageView { url, srcset, placeholder: placeholder.map(str::to_owned) }
    }
}
