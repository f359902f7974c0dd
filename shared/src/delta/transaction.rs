//! One transaction: the head moves on by one, the row takes its next version, the log gets its entry.

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        CancellationReason, Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
        builders::PutBuilder,
    },
};

use super::{
    Entity, Once, Record,
    schema::{HEAD, Item, number, text},
};
use crate::{
    backend::dynamo::{is_throttling, store_error},
    error::ApiError,
};

/// How one item of a refused transaction fared.
pub(super) enum Check {
    /// Its condition held.
    Held,
    /// Its condition failed, and the store returned what is there.
    Found(Item),
    /// Its condition failed, and the store returned nothing: not every store does, and there may be nothing.
    Unknown,
}

/// Why a transaction did nothing.
pub(super) enum Refusal {
    /// Row or head are not what was read.
    Stale { head: Check, row: Check },
    /// Another transaction held one of the items.
    Contended,
    /// The idempotency key has been used; its record, if the store returned it.
    Used(Option<Item>),
}

/// Stores a record, if the scope's head is still at `seq` and the row at the version `old`, or not there.
///
/// The SDK gives each call a token of its own, so that its own retries apply once.
pub(super) async fn commit<E: Entity>(
    client: &Client,
    table: &str,
    scope: &str,
    seq: u64,
    old: Option<u64>,
    record: &Record<E>,
    once: Option<&Once>,
) -> Result<Result<(), Refusal>, ApiError> {
    let item = TransactWriteItem::builder;
    let request = client
        .transact_write_items()
        .transact_items(item().update(move_head(table, scope, seq, record)?).build())
        .transact_items(item().put(put_row(table, scope, old, record)?).build())
        .transact_items(item().put(append(table, scope, record)?).build());
    let request = match once {
        Some(once) => request.transact_items(item().put(claim(table, scope, once, record)?).build()),
        None => request,
    };
    match request.send().await {
        Ok(_) => Ok(Ok(())),
        Err(error) => match read_refusal(reasons(&error)) {
            Some(refusal) => Ok(Err(refusal)),
            None if reasons(&error).iter().filter_map(CancellationReason::code).any(is_throttling) => {
                Err(ApiError::unavailable(error))
            }
            None => Err(store_error(error)),
        },
    }
}

fn move_head<E>(table: &str, scope: &str, seq: u64, record: &Record<E>) -> Result<Update, ApiError> {
    let update = Update::builder()
        .table_name(table)
        .key("pk", text(scope))
        .key("sk", text(HEAD))
        .update_expression(
            "SET #seq = :next, #at = :at, #epoch = if_not_exists(#epoch, :epoch), #floor = if_not_exists(#floor, :zero)",
        )
        .expression_attribute_names("#seq", "seq")
        .expression_attribute_names("#at", "at")
        .expression_attribute_names("#epoch", "epoch")
        .expression_attribute_names("#floor", "floor")
        .expression_attribute_values(":next", number(record.seq))
        .expression_attribute_values(":at", number(record.at.as_millisecond()))
        .expression_attribute_values(":epoch", text(format!("{:016x}", fastrand::u64(..))))
        .expression_attribute_values(":zero", number(0))
        .return_values_on_condition_check_failure(OnFailure::AllOld);
    let update = if seq == 0 {
        update.condition_expression("attribute_not_exists(pk)")
    } else {
        update.condition_expression("#seq = :seq").expression_attribute_values(":seq", number(seq))
    };
    update.build().map_err(ApiError::internal)
}

fn put_row<E: Entity>(table: &str, scope: &str, old: Option<u64>, record: &Record<E>) -> Result<Put, ApiError> {
    let put = put(table, record.row(scope)?);
    let put = match old {
        None => put.condition_expression("attribute_not_exists(pk)"),
        Some(old) => put
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", number(old)),
    };
    put.build().map_err(ApiError::internal)
}

fn append<E: Entity>(table: &str, scope: &str, record: &Record<E>) -> Result<Put, ApiError> {
    let put = put(table, record.log_entry(scope)?).condition_expression("attribute_not_exists(pk)");
    put.build().map_err(ApiError::internal)
}

fn claim<E: Entity>(table: &str, scope: &str, once: &Once, record: &Record<E>) -> Result<Put, ApiError> {
    let put = put(table, once.item(scope, record)?)
        // Records past their time may linger for days.
        .condition_expression("attribute_not_exists(pk) OR #expiresAt < :now")
        .expression_attribute_names("#expiresAt", "expiresAt")
        .expression_attribute_values(":now", number(record.at.as_second()));
    put.build().map_err(ApiError::internal)
}

fn put(table: &str, item: Item) -> PutBuilder {
    Put::builder().table_name(table).set_item(Some(item)).return_values_on_condition_check_failure(OnFailure::AllOld)
}

/// The reasons of a cancelled transaction, in the order of its items; none for any other error.
fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        _ => &[],
    }
}

fn read_refusal(reasons: &[CancellationReason]) -> Option<Refusal> {
    let failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    if reasons.iter().any(failed) {
        let check = |index: usize| match reasons.get(index).filter(|reason| failed(reason)) {
            None => Check::Held,
            Some(reason) => reason.item().cloned().map_or(Check::Unknown, Check::Found),
        };
        if let Some(used) = reasons.get(3).filter(|reason| failed(reason)) {
            return Some(Refusal::Used(used.item().cloned()));
        }
        return match (check(0), check(1)) {
            // Only the log entry is in the way: it is ahead of the head, which no write of ours can bring about.
            (Check::Held, Check::Held) => None,
            (head, row) => Some(Refusal::Stale { head, row }),
        };
    }
    reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")).then_some(Refusal::Contended)
}
