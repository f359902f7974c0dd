//! DynamoDB: reading many items at little cost, and what a failure means to a phone.

mod attribute;
pub(crate) mod read;
#[cfg(test)]
mod tests;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::ApiError;

/// What a failed store operation means: slow is `TIMEOUT`, throttled is `UNAVAILABLE`, unreachable or broken is
/// `BACKEND_ERROR`, and a request that the store refuses is a fault of ours.
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
