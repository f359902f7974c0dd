//! The HTTP client underneath: pooled connections, no redirects, no more bytes than asked for.

use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{Certificate, Request, Response, redirect::Policy};

use super::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Shorter than the patience of load balancers with an idle connection, 60 s and more.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes ring the process's cryptography for TLS, which every `reqwest` client needs.
pub fn install_tls_provider() {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Which roots of TLS are trusted.
#[derive(Clone, Debug)]
pub(super) enum Roots {
    /// Those of the system, which takes some milliseconds to read.
    System,
    /// These and no others.
    Only(Vec<Certificate>),
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

impl Client {
    /// A client that trusts the system's roots.
    ///
    /// # Errors
    /// When TLS cannot be set up, for example without any root certificates.
    pub fn new() -> Result<Self, Failure> {
        Self::trusting(Roots::System)
    }

    /// A client that trusts nobody, for plain `http`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn unencrypted() -> Result<Self, Failure> {
        Self::trusting(Roots::Only(Vec::new()))
    }

    pub(super) fn trusting(roots: Roots) -> Result<Self, Failure> {
        install_tls_provider();
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("mobile-bff/", env!("CARGO_PKG_VERSION")));
        let builder = match roots {
            Roots::System => builder,
            Roots::Only(roots) => builder.tls_certs_only(roots),
        };
        Ok(Self(builder.build()?))
    }

    /// Fetches what is at an address: at most `limit` bytes, within a time.
    ///
    /// # Errors
    /// See [`Failure`]; any status but 200 is one.
    pub async fn get(&self, address: &str, limit: usize, patience: Duration) -> Result<Bytes, Failure> {
        let request = self.0.get(address).build()?;
        match self.send(request, limit, patience).await? {
            (StatusCode::OK, _, body) => Ok(body),
            (status, headers, _) => Err(Failure::Status(status, retry_after(&headers))),
        }
    }

    /// Sends a request. The body comes with a good status only.
    pub(crate) async fn send(
        &self,
        request: Request,
        limit: usize,
        patience: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
        let exchange = async {
            let mut response = self.0.execute(request).await?;
            let body = if response.status().is_success() { body(&mut response, limit).await? } else { Bytes::new() };
            Ok((response.status(), std::mem::take(response.headers_mut()), body))
        };
        tokio::time::timeout(patience, exchange).await.unwrap_or(Err(Failure::Slow))
    }
}

async fn body(response: &mut Response, limit: usize) -> Result<Bytes, Failure> {
    let promised = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    if promised > limit {
        return Err(Failure::TooLarge(limit));
    }
    let mut body = Vec::with_capacity(promised);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// Seconds to wait, from either form of the header (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER).and_then(|value| seconds(value, Timestamp::now()))
}

fn seconds(value: &HeaderValue, now: Timestamp) -> Option<u32> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    u32::try_from(at.as_second().saturating_sub(now.as_second()).max(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_both_forms() {
        let now = "2026-11-25T12:00:00Z".parse().expect("a time");
        let read = |text: &'static str| seconds(&HeaderValue::from_static(text), now);
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("99999999999"), Some(u32::MAX));
        assert_eq!(read("Wed, 25 Nov 2026 12:01:30 GMT"), Some(90));
        assert_eq!(read("Wed, 25 Nov 2026 11:00:00 GMT"), Some(0));
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
