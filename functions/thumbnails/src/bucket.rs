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
/// What is read of an error, in bytes.
const MAX_ERROR: usize = 4096;
/// How long before their end credentials are no longer used.
const EARLY: Duration = Duration::from_mins(5);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The bucket has no such object.
    #[error("no such object")]
    Missing,
    /// The bucket has no such object and does not say so to those who may not list it, or the object may not be read.
    #[error("the bucket denies access to the object")]
    Denied,
    /// More bytes than [`limits::INPUT_BYTES`].
    #[error("the object is too large")]
    TooLarge,
    /// No whole answer within five seconds.
    #[error("the bucket is slow")]
    Timeout,
    /// No connection, or one that broke.
    #[error(transparent)]
    Http(reqwest::Error),
    /// A request that the bucket does not accept, with the code of its error.
    #[error("the bucket answered 403 {0}")]
    Forbidden(String),
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
            StatusCode::NOT_FOUND => return Err(Error::Missing),
            StatusCode::FORBIDDEN => return Err(forbidden(&mut response).await?),
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
        let now = SystemTime::now();
        let good_at = |known: &Option<Credentials>, time| {
            known.clone().filter(|known| known.expiry().is_none_or(|end| end > time))
        };
        if let Some(credentials) = good_at(&known, now + EARLY) {
            return Ok(credentials);
        }
        match self.0.provider.provide_credentials().await {
            Ok(fresh) => Ok(known.insert(fresh).clone()),
            // Until their end the old ones will do.
            Err(error) => good_at(&known, now).ok_or(Error::Credentials(error)),
        }
    }
}

/// What a 403 of S3 is about. Credentials that have expired, a wrong region or a wrong clock are no reason to say that
/// there is no picture. The code is at the beginning of a small XML document.
async fn forbidden(response: &mut Response) -> Result<Error, Error> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_ERROR {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    Ok(match code {
        Some("AccessDenied") => Error::Denied,
        other => Error::Forbidden(other.unwrap_or("without a code").to_owned()),
    })
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use aws_credential_types::provider::future;

    use super::*;

    /// Gives credentials of so many seconds, once.
    #[derive(Debug)]
    struct Once(u64, AtomicBool);

    impl ProvideCredentials for Once {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let end = SystemTime::now() + Duration::from_secs(self.0);
            let first = !self.1.swap(true, Ordering::Relaxed);
            future::ProvideCredentials::ready(if first {
                Ok(Credentials::new("id", "secret", None, Some(end), "tests"))
            } else {
                Err(CredentialsError::not_loaded("the endpoint is down"))
            })
        }
    }

    #[tokio::test]
    async fn credentials_serve_to_their_end_while_there_are_no_new_ones() {
        for (seconds, good) in [(60, true), (0, false)] {
            let settings = [("IMAGES_BUCKET", "pictures"), ("AWS_REGION", "eu-central-1")];
            let provider = SharedCredentialsProvider::new(Once(seconds, AtomicBool::new(false)));
            let bucket = Bucket::from_env(&settings.into_iter().collect(), provider).expect("good settings");
            assert!(bucket.credentials().await.is_ok(), "the first ones");
            assert_eq!(bucket.credentials().await.is_ok(), good, "{seconds} seconds");
        }
    }
}
