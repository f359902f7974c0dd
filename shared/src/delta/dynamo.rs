//! Change logs in DynamoDB: `GetItem`, `Query`, `TransactWriteItems` on a table with the keys `pk` and `sk`.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{query::builders::QueryFluentBuilder, transact_write_items::TransactWriteItemsError},
    types::{
        CancellationReason, Put as PutItem, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
    },
};
use jiff::Timestamp;

use super::{
    Entity, Record,
    schema::{HEAD, Item, Stored, number, text},
    store::{Check, Commit, Found, Put, Range, Refusal, Store, When},
};
use crate::{
    backend::dynamo::{
        is_throttling,
        read::{self, Read},
        store_error,
    },
    error::ApiError,
    telemetry::timing::{self, STORE},
};

/// A table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// The table of this name.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }
}

impl Store for DynamoStore {
    async fn get(&self, scope: &str, sort_key: &str, strong: bool) -> Result<Option<Item>, ApiError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(strong);
        let request = request.key("pk", text(scope)).key("sk", text(sort_key));
        Ok(timing::part(STORE, request.send()).await.map_err(store_error)?.item)
    }

    async fn query(&self, range: Range<'_>) -> Result<Found, ApiError> {
        let answer = timing::part(STORE, self.request(range).send()).await.map_err(store_error)?;
        Ok(Found { more: answer.last_evaluated_key.is_some(), items: answer.items.unwrap_or_default() })
    }

    async fn records<E: Entity>(&self, range: Range<'_>) -> Result<Found<Record<E>>, ApiError> {
        let Read { items, more } = read::query::<Stored<E>>(self.request(range)).await?;
        let items = items.into_iter().map(Record::try_from).collect::<Result<_, _>>()?;
        Ok(Found { items, more })
    }

    /// The SDK gives each call a token of its own, so that its own retries apply once.
    async fn commit(&self, commit: Commit<'_>) -> Result<Result<(), Refusal>, ApiError> {
        let item = TransactWriteItem::builder;
        let mut actions = vec![item().update(self.move_head(&commit)?).build()];
        for put in commit.puts {
            actions.push(item().put(self.put(put)?).build());
        }
        let request = self.client.transact_write_items().set_transact_items(Some(actions));
        match timing::part(STORE, request.send()).await {
            Ok(_) => Ok(Ok(())),
            Err(error) => match refusal(reasons(&error)) {
                Some(refusal) => Ok(Err(refusal)),
                None if reasons(&error).iter().filter_map(CancellationReason::code).any(is_throttling) => {
                    Err(ApiError::unavailable(error))
                }
                None => Err(store_error(error)),
            },
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl DynamoStore {
    fn request(&self, range: Range<'_>) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .set_index_name(range.index.map(|index| index.name.to_owned()))
            .key_condition_expression("#key = :key AND sk BETWEEN :first AND :last")
            .expression_attribute_names("#key", range.index.map_or("pk", |index| index.attribute))
            .expression_attribute_values(":key", text(range.partition))
            .expression_attribute_values(":first", text(range.first))
            .expression_attribute_values(":last", text(range.last))
            .scan_index_forward(!range.backward)
            .consistent_read(range.strong && range.index.is_none())
            .limit(range.limit.into())
    }

    /// An update, not a put: whoever renews the epoch may do it at the same moment.
    fn move_head(&self, commit: &Commit<'_>) -> Result<Update, ApiError> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(commit.scope))
            .key("sk", text(HEAD))
            .update_expression("SET #seq = :to, #at = :at, #epoch = if_not_exists(#epoch, :epoch)")
            .expression_attribute_names("#seq", "seq")
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#epoch", "epoch")
            .expression_attribute_values(":to", number(commit.to))
            .expression_attribute_values(":at", number(commit.at.as_millisecond()))
            .expression_attribute_values(":epoch", text(&*commit.epoch))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let update = if commit.from == 0 {
            update.condition_expression("attribute_not_exists(pk)")
        } else {
            update.condition_expression("#seq = :from").expression_attribute_values(":from", number(commit.from))
        };
        update.build().map_err(ApiError::internal)
    }

    fn put(&self, Put { item, when }: Put) -> Result<PutItem, ApiError> {
        let put = PutItem::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let put = match when {
            When::Absent => put.condition_expression("attribute_not_exists(pk)"),
            When::Version(version) => put
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":version", number(version)),
            When::AbsentOrExpired(now) => put
                .condition_expression("attribute_not_exists(pk) OR #expiresAt < :now")
                .expression_attribute_names("#expiresAt", "expiresAt")
                .expression_attribute_values(":now", number(now)),
        };
        put.build().map_err(ApiError::internal)
    }
}

/// The reasons of a cancelled transaction, in the order of its items; none for any other error.
fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        _ => &[],
    }
}

fn refusal(reasons: &[CancellationReason]) -> Option<Refusal> {
    let said = |reason: &CancellationReason, code: &str| reason.code() == Some(code);
    if reasons.iter().any(|reason| said(reason, "ConditionalCheckFailed")) {
        let mut checks = reasons.iter().map(|reason| match (reason.code(), reason.item()) {
            (None | Some("None"), _) => Check::Held,
            (Some("ConditionalCheckFailed"), Some(item)) => Check::Found(item.clone()),
            // Another transaction held it, for example: nothing was said of the condition.
            _ => Check::Unknown,
        });
        return Some(Refusal::Stale { head: checks.next()?, puts: checks.collect() });
    }
    reasons.iter().any(|reason| said(reason, "TransactionConflict")).then_some(Refusal::Contended)
}
