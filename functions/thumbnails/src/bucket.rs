//! Pictures in S3.
//!
//! One signed GET is all that is needed of S3. The signer is the SDK's own and the HTTP client is there already, so this
//! adds nothing to the binary, where the SDK's S3 client would add its checksums, endpoint rules and error types.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use axum::body::Bytes;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use shared::{
    backend::upstream::install_tls_provider,
    config::{ConfigError, Env},
};
use thumbnails_core::{Key, limits};
use tokio::sync::Mutex;

/// How long a connection may take, and a whole fetch.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long before their end credentials are no longer used.
const EARLY: Duration = Duration::from_mins(5);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The bucket has no such object, or does not say so to who may not list it.
    #[error("no such object")]
    Missing,
    /// More bytes than [`limits::INPUT_BYTES`].
    #[error("the object is too large")]
    TooLarge,
    /// No whole answer within five seconds.
    #[error("the bucket is slow")]
    Timeout,
    /// No connection, or one that broke.
    #[error(transparent)]
    Http(reqwest::Error),
    /// An answer that is none of the above.
    #[error("the bucket answered {0}")]
    Status(StatusCode),
    /// No credentials to sign with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The request cannot be signed.
    #[error(transparent)]
    Sign(Box<dyn std::error::Error + Send + Sync>),
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Http(error) }
    }
}

/// A bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// What stands in front of a key.
    base: String,
    region: String,
    provider: SharedCredentialsProvider,
    credentials: Mutex<Option<Credentials>>,
}

impl Bucket {
    /// Reads `IMAGES_BUCKET`, `AWS_REGION`, and `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` for an emulator.
    pub(crate) fn from_env(env: &Env, provider: SharedCredentialsProvider) -> Result<Self, ConfigError> {
        let setting = "IMAGES_BUCKET";
        let (name, region) = (env.required(setting)?, env.required("AWS_REGION")?);
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(ConfigError::new(setting, "may have lower-case letters, digits and '-' only"));
        }
        let base = match env.url("AWS_ENDPOINT_URL_S3")?.or(env.url("AWS_ENDPOINT_URL")?) {
            Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            None => format!("https://{name}.s3.{region}.amazonaws.com"),
        };
        install_tls_provider();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .redirect(Policy::none())
            .build()
            .map_err(|error| ConfigError::new(setting, format!("cannot be reached: {error}")))?;
        let region = region.to_owned();
        Ok(Self(Arc::new(Inner { client, base, region, provider, credentials: Mutex::default() })))
    }

    /// The whole object, counted while it comes in.
    pub(crate) async fn get(&self, key: &Key) -> Result<Bytes, Error> {
        let url = format!("{}/{key}", self.0.base);
        let mut request = self.0.client.get(&url);
        for (name, value) in self.signature(&url).await? {
            request = request.header(name, value);
        }
        let mut response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            // S3 says 403 for an object that is not there to those who may not list the bucket.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Err(Error::Missing),
            other => return Err(Error::Status(other)),
        }
        body(&mut response).await
    }

    async fn signature(&self, url: &str) -> Result<Vec<(String, String)>, Error> {
        let identity = self.credentials().await?.into();
        // What S3 has of its own: the path is signed as it is, and the hash of the body is a header.
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.0.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| Error::Sign(error.into()))?
            .into();
        let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::empty());
        let signed = request.and_then(|request| sign(request, &params)).map_err(|error| Error::Sign(error.into()))?;
        let (instructions, _) = signed.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The credentials, asked for again only near their end: a container gets them over the network.
    async fn credentials(&self) -> Result<Credentials, Error> {
        let mut known = self.0.credentials.lock().await;
        let soon = SystemTime::now() + EARLY;
        if let Some(credentials) = known.as_ref().filter(|known| known.expiry().is_none_or(|end| end > soon)) {
            return Ok(credentials.clone());
        }
        let fresh = self.0.provider.provide_credentials().await?;
        *known = Some(fresh.clone());
        Ok(fresh)
    }
}

async fn body(response: &mut Response) -> Result<Bytes, Error> {
    let promised = response.content_length().unwrap_or_default();
    if promised > limits::INPUT_BYTES as u64 {
        return Err(Error::TooLarge);
    }
    let mut body = Vec::with_capacity(usize::try_from(promised).unwrap_or_default());
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limits::INPUT_BYTES {
            return Err(Error::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}
