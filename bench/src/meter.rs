//! Counts the capacity units that a client's requests consume, as the store itself counts them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_sdk_dynamodb::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut},
    },
    error::BoxError,
    operation::{
        get_item::{GetItemInput, GetItemOutput},
        query::{QueryInput, QueryOutput},
        transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput},
        update_item::{UpdateItemInput, UpdateItemOutput},
    },
    types::{ConsumedCapacity, ReturnConsumedCapacity},
};

/// Counts what requests have consumed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Counts>);

/// Capacity units come in halves: an eventually consistent read of up to 4 KB is one.
#[derive(Debug, Default)]
struct Counts {
    half_units_read: AtomicU64,
    half_units_written: AtomicU64,
    transactions: AtomicU64,
}

/// What a number of requests has consumed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Units {
    /// Read request units.
    pub(crate) read: f64,
    /// Write request units.
    pub(crate) written: f64,
    pub(crate) transactions: u64,
}

impl Meter {
    /// The same client, metered.
    pub(crate) fn on(&self, client: &Client) -> Client {
        Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    /// What was counted since the last call.
    pub(crate) fn take(&self) -> Units {
        let Counts { half_units_read, half_units_written, transactions } = &*self.0;
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let units = |halves: &AtomicU64| take(halves) as f64 / 2.0;
        Units { read: units(half_units_read), written: units(half_units_written), transactions: take(transactions) }
    }
}

fn add<'a>(count: &AtomicU64, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    let units: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let halves = (units * 2.0).round() as u64;
    count.fetch_add(halves, Ordering::Relaxed);
}

/// Asks for the capacity in every request, and reads it from every answer: the code that is measured does not change.
impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (input, total) = (context.input_mut(), Some(ReturnConsumedCapacity::Total));
        if let Some(query) = input.downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
        } else if let Some(get) = input.downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
        } else if let Some(update) = input.downcast_mut::<UpdateItemInput>() {
            update.return_consumed_capacity = total;
        } else if let Some(transaction) = input.downcast_mut::<TransactWriteItemsInput>() {
            transaction.return_consumed_capacity = total;
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else { return Ok(()) };
        let Counts { half_units_read, half_units_written, transactions } = &*self.0;
        if let Some(query) = output.downcast_ref::<QueryOutput>() {
            add(half_units_read, &query.consumed_capacity);
        } else if let Some(get) = output.downcast_ref::<GetItemOutput>() {
            add(half_units_read, &get.consumed_capacity);
        } else if let Some(update) = output.downcast_ref::<UpdateItemOutput>() {
            add(half_units_written, &update.consumed_capacity);
        } else if let Some(transaction) = output.downcast_ref::<TransactWriteItemsOutput>() {
            add(half_units_written, transaction.consumed_capacity());
            transactions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
