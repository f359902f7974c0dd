//! New epochs for the change logs of a table, after it was restored from a backup.
//!
//! A restored log ends where the backup did, and goes on with numbers that phones have seen with other changes. A token
//! names its log's epoch, so with a new epoch each phone is told to start again.

use aws_sdk_dynamodb::{Client, error::DisplayErrorContext, types::AttributeValue};
use shared::delta::{HEAD, new_epoch};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many parts of the table are read side by side. Each changes the heads that it finds, one after another.
const SEGMENTS: u16 = 16;

/// Gives the head of each log in the table a new epoch, and says how many there are. It reads the whole table, so it costs
/// half a read unit for each 4 KB, and one write unit for each log; and it may be run again.
///
/// # Errors
/// When the store refuses. Some heads may have their new epoch then, which does no harm.
pub async fn renew(client: &Client, table: &str) -> Result<u64, Failure> {
    let mut segments = JoinSet::new();
    for segment in 0..SEGMENTS {
        segments.spawn(renew_segment(client.clone(), table.to_owned(), segment));
    }
    let mut renewed = 0;
    while let Some(segment) = segments.join_next().await {
        renewed += segment??;
    }
    Ok(renewed)
}

async fn renew_segment(client: Client, table: String, segment: u16) -> Result<u64, Failure> {
    let heads = client
        .scan()
        .table_name(&table)
        .segment(segment.into())
        .total_segments(SEGMENTS.into())
        .filter_expression("sk = :head")
        .expression_attribute_values(":head", AttributeValue::S(HEAD.to_owned()))
        .projection_expression("pk, sk");
    let mut heads = heads.into_paginator().items().send();
    let mut renewed = 0;
    while let Some(key) = heads.next().await {
        // A writer may move the head at the same moment: it leaves the epoch alone, and this leaves the rest alone.
        let head = client.update_item().table_name(&table).set_key(Some(key.map_err(explain)?));
        let head = head.update_expression("SET #epoch = :new").expression_attribute_names("#epoch", "epoch");
        let new = AttributeValue::S(new_epoch());
        head.expression_attribute_values(":new", new).send().await.map_err(explain)?;
        renewed += 1;
    }
    Ok(renewed)
}

fn explain(error: impl std::error::Error) -> Failure {
    DisplayErrorContext(error).to_string().into()
}
