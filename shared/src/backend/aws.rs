//! The AWS clients.
//!
//! They are set up by hand rather than by `aws_config::load`, which reads profile files and brings every way to get
//! credentials into the binary. A Lambda function has its credentials in the environment, a Fargate task at an address
//! in the environment, and nothing that runs this service has any other.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, ecs::EcsCredentialsProvider, provider_config::ProviderConfig,
    retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::queue::bounded;
use crate::config::{ConfigError, Env, Limits};

/// The roots of AWS's own endpoints. Parsing a whole system store would take half of a cold start.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The AWS clients. Built before the first request, since a Lambda's start-up is faster than its first invocation.
#[derive(Clone, Debug)]
pub struct Aws {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// What the clients sign with, for a service that is called without one.
    pub credentials: SharedCredentialsProvider,
}

impl Aws {
    /// Clients as the environment says, by the names that all AWS SDKs share: `AWS_REGION`, the credentials,
    /// `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SECRETS_MANAGER`, and `AWS_CA_BUNDLE`, a PEM
    /// file of roots to trust in place of Amazon's.
    ///
    /// # Errors
    /// When there is no region, or when the file of roots cannot be used.
    pub fn from_env(env: &Env, limits: Limits) -> Result<Self, ConfigError> {
        let region = env.required("AWS_REGION")?.to_owned();
        let http = https_client(&roots(env)?)?;
        let credentials = if let Some(key) = env.optional("AWS_ACCESS_KEY_ID") {
            let secret = env.required("AWS_SECRET_ACCESS_KEY")?;
            let session = env.optional("AWS_SESSION_TOKEN").map(str::to_owned);
            SharedCredentialsProvider::new(Credentials::new(key, secret, session, None, "environment"))
        } else {
            let provider = ProviderConfig::without_region().with_http_client(http.clone());
            SharedCredentialsProvider::new(EcsCredentialsProvider::builder().configure(&provider).build())
        };
        let config = sdk_config(region, http, credentials.clone(), limits);
        let shared = env.url("AWS_ENDPOINT_URL")?;
        let at = |name: &str| Ok(env.url(name)?.or(shared).map(str::to_owned));
        let endpoints = (at("AWS_ENDPOINT_URL_DYNAMODB")?, at("AWS_ENDPOINT_URL_SECRETS_MANAGER")?);
        Ok(Self::new(&config, credentials, endpoints))
    }

    /// Clients for an emulator on this machine.
    ///
    /// # Errors
    /// When the trusted roots cannot be used.
    pub fn local(endpoint: &str, limits: Limits) -> Result<Self, ConfigError> {
        let credentials = SharedCredentialsProvider::new(Credentials::new("local", "local", None, None, "local"));
        let config = sdk_config("us-east-1".to_owned(), https_client(AMAZON_ROOTS)?, credentials.clone(), limits);
        Ok(Self::new(&config, credentials, (Some(endpoint.to_owned()), Some(endpoint.to_owned()))))
    }

    /// With the endpoints of DynamoDB and Secrets Manager, where they are not AWS's own.
    fn new(
        config: &SdkConfig,
        credentials: SharedCredentialsProvider,
        (dynamodb, secrets): (Option<String>, Option<String>),
    ) -> Self {
        let mut for_dynamodb = aws_sdk_dynamodb::config::Builder::from(config);
        for_dynamodb.set_endpoint_url(dynamodb);
        let mut for_secrets = aws_sdk_secretsmanager::config::Builder::from(config);
        for_secrets.set_endpoint_url(secrets);
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(for_dynamodb.build()),
            secrets: aws_sdk_secretsmanager::Client::from_conf(for_secrets.build()),
            credentials,
        }
    }
}

fn sdk_config(
    region: String,
    http: SharedHttpClient,
    credentials: SharedCredentialsProvider,
    limits: Limits,
) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(limits.store_attempt)
        .operation_attempt_timeout(limits.store_attempt)
        .operation_timeout(limits.store)
        .build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(credentials)
        .http_client(http)
        .timeout_config(timeouts)
        // A call is bounded as a whole, and its body is read with it.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50)))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build()
}

fn roots(env: &Env) -> Result<Vec<u8>, ConfigError> {
    let name = "AWS_CA_BUNDLE";
    env.optional(name).map_or_else(|| Ok(AMAZON_ROOTS.to_vec()), |path| read_pem(name, path))
}

/// The file of roots that the variable `name` names. The clients panic on one that they cannot use, or say less.
pub(super) fn read_pem(name: &str, path: &str) -> Result<Vec<u8>, ConfigError> {
    let wrong = |why: &dyn std::fmt::Display| ConfigError::new(name, format!("is {path:?}: {why}"));
    let pem = std::fs::read(path).map_err(|why| wrong(&why))?;
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&pem) {
        store.add(root.map_err(|why| wrong(&why))?).map_err(|why| wrong(&why))?;
    }
    if store.is_empty() { Err(wrong(&"it has no certificates")) } else { Ok(pem) }
}

fn https_client(roots: &[u8]) -> Result<SharedHttpClient, ConfigError> {
    let unusable = |why: String| ConfigError::new("AWS_CA_BUNDLE", format!("cannot be used: {why}"));
    let trusted = TrustStore::empty().with_pem_certificate(roots);
    let context = TlsContext::builder().with_trust_store(trusted).build().map_err(|why| unusable(why.to_string()))?;
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    Ok(bounded(builder.tls_context(context).build_https()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roots_parse() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(AMAZON_ROOTS).collect::<Result<_, _>>().expect("PEM");
        assert_eq!(RootCertStore::empty().add_parsable_certificates(roots), (5, 0));
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_named() {
        let bundle = |path: &str| roots(&[("AWS_CA_BUNDLE", path)].into_iter().collect());
        let missing = bundle("/no/such/file").expect_err("missing").to_string();
        assert_eq!(missing, "AWS_CA_BUNDLE is \"/no/such/file\": No such file or directory (os error 2)");
        let empty = bundle(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect_err("no roots").to_string();
        assert!(empty.ends_with("it has no certificates"), "{empty}");
        assert_eq!(bundle("").expect("built in"), AMAZON_ROOTS);
    }
}
