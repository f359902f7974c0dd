//! The address of a client behind proxies that are trusted, and behind no others.
//!
//! Anybody can write `X-Forwarded-For` and `CloudFront-Viewer-Address`. What counts is who passed them on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use aws_sdk_secretsmanager::Client as SecretsClient;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::context::ClientAddr;
use crate::{config::Proxies, secrets::Secret};

/// What CloudFront sends along to show that a request came through it.
const ORIGIN_VERIFY: HeaderName = HeaderName::from_static("x-origin-verify");
const VIEWER_ADDRESS: HeaderName = HeaderName::from_static("cloudfront-viewer-address");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Finds out where a request comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Locator {
    hops: usize,
    origin: Option<Arc<Secret>>,
}

impl Locator {
    /// Trusts the proxies that the settings name.
    pub fn new(config: &Proxies, secrets: &SecretsClient) -> Self {
        let origin = config.origin_secret.as_ref().map(|source| Arc::new(Secret::new(source, secrets)));
        Self { hops: config.hops, origin }
    }

    /// The address that the trusted proxies saw; nothing when there are none, or none that saw one.
    async fn locate(&self, headers: &HeaderMap) -> Option<IpAddr> {
        if let Some(secret) = &self.origin
            && let Some(given) = headers.get(ORIGIN_VERIFY)
            && let Ok(values) = secret.values().await
            // Hashes, so that the time that it takes to compare says nothing.
            && values.iter().any(|value| Sha256::digest(value) == Sha256::digest(given))
        {
            return viewer(headers.get(VIEWER_ADDRESS)?.to_str().ok()?);
        }
        forwarded(headers, self.hops)
    }
}

/// `192.0.2.7:4711`, and also `2001:db8::1:4711`.
fn viewer(text: &str) -> Option<IpAddr> {
    let (address, _port) = text.rsplit_once(':')?;
    address.trim_matches(['[', ']']).parse().ok()
}

/// What the last of so many proxies saw: the n-th address from the right. What stands to the left of it anybody can write.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    let list = lines.join(",");
    let address = list.rsplit(',').nth(hops.checked_sub(1)?)?.trim();
    address.parse().ok().or_else(|| address.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Puts the client's own address in place of a proxy's.
pub(super) async fn locate(State(locator): State<Locator>, mut request: Request, next: Next) -> Response {
    if let Some(address) = locator.locate(request.headers()).await {
        request.extensions_mut().insert(ClientAddr(address));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_right_end_counts() {
        let find = |lines: &[&'static str], hops| {
            let lines = lines.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)));
            forwarded(&lines.collect(), hops).map(|address| address.to_string())
        };
        let lines = ["198.51.100.1, 203.0.113.9", "192.0.2.7"];
        assert_eq!(find(&lines, 0), None);
        assert_eq!(find(&lines, 1).as_deref(), Some("192.0.2.7"));
        assert_eq!(find(&lines, 2).as_deref(), Some("203.0.113.9"));
        assert_eq!(find(&lines, 4), None);
        assert_eq!(find(&["evil", "192.0.2.7:80"], 1).as_deref(), Some("192.0.2.7"));
        assert_eq!(find(&["192.0.2.7, evil"], 1), None, "a broken right end is no reason to look further left");
        assert_eq!(find(&[], 1), None);
    }

    #[test]
    fn viewers_have_ports() {
        let find = |text| viewer(text).map(|address| address.to_string());
        assert_eq!(find("192.0.2.7:4711").as_deref(), Some("192.0.2.7"));
        assert_eq!(find("2001:db8:0:0:0:0:0:1:4711").as_deref(), Some("2001:db8::1"));
        assert_eq!(find("[2001:db8::1]:4711").as_deref(), Some("2001:db8::1"));
        assert_eq!(find("evil"), None);
    }
}
