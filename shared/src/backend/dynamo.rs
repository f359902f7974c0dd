//! DynamoDB and Secrets Manager clients, and what their failures mean to a phone.

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::{Credentials, SharedCredentialsProvider},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::{
    config::{ConfigError, Env, Limits},
    error::ApiError,
};

/// The AWS clients. Built before the first request, since a Lambda's start-up is faster than its first invocation.
#[derive(Clone, Debug)]
pub struct Aws {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
}

impl Aws {
    /// Clients with the region, credentials and endpoints of the environment, as every AWS SDK reads them.
    ///
    /// # Errors
    /// When `AWS_REGION` is not set: looking for it elsewhere would cost seconds.
    pub async fn from_env(env: &Env, limits: Limits) -> Result<Self, ConfigError> {
        let region = Region::new(env.required("AWS_REGION")?.to_owned());
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .http_client(https_client())
            .timeout_config(timeouts(limits))
            .retry_config(retries())
            .load()
            .await;
        Ok(Self::from_config(&config))
    }

    /// Clients for an emulator on this machine.
    pub fn local(endpoint: &str, limits: Limits) -> Self {
        let credentials = Credentials::new("local", "local", None, None, "local");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(https_client())
            .timeout_config(timeouts(limits))
            .retry_config(retries())
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .build();
        Self::from_config(&config)
    }

    fn from_config(config: &SdkConfig) -> Self {
        Self { dynamodb: aws_sdk_dynamodb::Client::new(config), secrets: aws_sdk_secretsmanager::Client::new(config) }
    }
}

fn https_client() -> aws_sdk_dynamodb::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

fn timeouts(limits: Limits) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.store_attempt)
        .operation_attempt_timeout(limits.store_attempt)
        .operation_timeout(limits.store)
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(50))
}

/// What a failed store operation means: slow is TIMEOUT, throttled is UNAVAILABLE, unreachable or broken is
/// BACKEND_ERROR, and a request that the store refuses is a fault of ours.
pub fn store_error<E, R>(error: SdkError<E, R>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match &error {
        SdkError::TimeoutError(_) => ApiError::timeout().with_source(error),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ApiError::timeout().with_source(error),
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => ApiError::backend(error),
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) if is_throttling(code) => ApiError::unavailable(error),
            Some("InternalServerError" | "ServiceUnavailable" | "ServiceUnavailableException") | None => {
                ApiError::backend(error)
            }
            Some(_) => ApiError::internal(error),
        },
        _ => ApiError::internal(error),
    }
}

/// Whether a code, of an error or of a cancelled transaction's reason, says "too fast".
pub(crate) fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            | "ThrottlingException"
            | "ThrottlingError"
            | "Throttling"
            | "RequestLimitExceeded"
            | "TransactionInProgressException"
    )
}
