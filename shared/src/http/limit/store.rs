//! The counters in `DynamoDB`: one item for each subject and window, key `pk`.

use aws_sdk_dynamodb::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::window::SECONDS;
use crate::{backend::dynamo::store_error, config::RateLimit, error::ApiError};

/// How long a counter is kept after its window: it counts along for one more, and clocks differ.
const KEPT: u64 = 3 * SECONDS as u64;

/// The table of counters.
#[derive(Debug)]
pub(super) struct Counters {
    client: Client,
    table: String,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    /// Counted; so many with it.
    Counted(u32),
    /// Not counted, since there were so many already.
    Full(u32),
}

impl Counters {
    pub(super) fn new(client: &Client, config: &RateLimit) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(config.sure_timeout).build();
        // A second attempt might count a request twice, and there is no time for one.
        let config_of_ours =
            client.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        Self { client: Client::from_conf(config_of_ours.build()), table: config.table.clone() }
    }

    /// How many requests a window has had.
    pub(super) async fn count(&self, subject: &str, window: u64) -> Result<u32, ApiError> {
        let request = self.client.get_item().table_name(&self.table).key("pk", key(subject, window));
        let answer = request.consistent_read(true).send().await.map_err(store_error)?;
        Ok(answer.item.and_then(|item| hits(item.get("hits"))).unwrap_or(0))
    }

    /// Counts a request, unless the window has had as many as are allowed by now.
    pub(super) async fn hit(&self, subject: &str, window: u64, allowed: u32) -> Result<Hit, ApiError> {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", key(subject, window))
            .update_expression("SET expiresAt = if_not_exists(expiresAt, :expiresAt) ADD hits :one")
            .condition_expression("attribute_not_exists(hits) OR hits < :allowed")
            .expression_attribute_values(":expiresAt", number((window + 1) * u64::from(SECONDS) + KEPT))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":allowed", number(allowed.into()))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(answer) => {
                let counted = answer.attributes.and_then(|attributes| hits(attributes.get("hits")));
                counted.map(Hit::Counted).ok_or_else(|| ApiError::internal("a counter came back without its count"))
            }
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                let found = match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => {
                        failed.item().map(|item| hits(item.get("hits")))
                    }
                    _ => None,
                };
                // Not every emulator returns the item; it has at least what the condition allows.
                Ok(Hit::Full(found.flatten().unwrap_or(allowed)))
            }
            Err(error) => Err(store_error(error)),
        }
    }
}

fn key(subject: &str, window: u64) -> AttributeValue {
    AttributeValue::S(format!("{subject}#{window}"))
}

fn hits(value: Option<&AttributeValue>) -> Option<u32> {
    value?.as_n().ok()?.parse().ok()
}
