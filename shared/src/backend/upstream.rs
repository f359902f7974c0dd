//! HTTP services behind this one.

use std::time::Duration;

use axum::body::Bytes;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why an upstream gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, a broken one, a passed deadline, or an address that is not one.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// An answer with a status other than 2xx.
    #[error("the upstream answered {0}")]
    Status(reqwest::StatusCode),
    /// An answer larger than the caller takes.
    #[error("the upstream's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// An answer that is not the JSON that was expected.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Makes ring the process's cryptography for TLS, which every `reqwest` client needs.
pub fn install_tls_provider() {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A pooled client that follows no redirects and reads no more than it was told to.
#[derive(Clone, Debug)]
pub struct Upstream(reqwest::Client);

impl Upstream {
    /// Builds the client.
    ///
    /// # Errors
    /// When TLS cannot be set up, for example without any root certificates.
    pub fn new() -> Result<Self, Error> {
        install_tls_provider();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    /// Fetches a body of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, url: &str, limit: usize) -> Result<Bytes, Error> {
        let mut response = self.0.get(url).send().await?;
        if !response.status().is_success() {
            return Err(Error::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(Error::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }
}
