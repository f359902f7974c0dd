//! Users in DynamoDB: one item each, key `id`.

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    types::{AttributeValue, ReturnValue},
};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_attribute_value};
use shared::{
    ApiError, Id,
    backend::dynamo::store_error,
    telemetry::timing::{self, STORE},
    values::now,
};

use crate::model::{Editable, User};

/// The table. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Table {
    client: Client,
    table: String,
}

impl Table {
    pub(super) fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    pub(super) async fn get(&self, id: &Id) -> Result<Option<User>, ApiError> {
        let key = AttributeValue::S(id.to_string());
        let request = self.client.get_item().table_name(&self.table).key("id", key).consistent_read(true);
        let answer = timing::part(STORE, request.send()).await.map_err(store_error)?;
        answer.item.map(from_item).transpose().map_err(ApiError::internal)
    }

    pub(super) async fn update(&self, id: &Id, version: u64, edit: &Editable) -> Result<Option<User>, ApiError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", AttributeValue::S(id.to_string()))
            .update_expression(
                "SET #version = :next, #firstName = :firstName, #lastName = :lastName, #preferences = :preferences, \
                 #metadata.#updatedAt = :now",
            )
            // A record that was never changed here has no version yet.
            .condition_expression(if version == 1 {
                "attribute_exists(id) AND (#version = :version OR attribute_not_exists(#version))"
            } else {
                "#version = :version"
            })
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#firstName", "firstName")
            .expression_attribute_names("#lastName", "lastName")
            .expression_attribute_names("#preferences", "preferences")
            .expression_attribute_names("#metadata", "metadata")
            .expression_attribute_names("#updatedAt", "updatedAt")
            .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
            .expression_attribute_values(":next", AttributeValue::N((version + 1).to_string()))
            .expression_attribute_values(":firstName", AttributeValue::S(edit.first_name.clone()))
            .expression_attribute_values(":lastName", AttributeValue::S(edit.last_name.clone()))
            .expression_attribute_values(
                ":preferences",
                to_attribute_value(&edit.preferences).map_err(ApiError::internal)?,
            )
            .expression_attribute_values(":now", to_attribute_value(now()).map_err(ApiError::internal)?)
            .return_values(ReturnValue::AllNew);
        match timing::part(STORE, request.send()).await {
            Ok(answer) => answer.attributes.map(from_item).transpose().map_err(ApiError::internal),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }
}
