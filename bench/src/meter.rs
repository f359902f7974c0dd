//! Counts the capacity units that a client's requests consume, as the store itself counts them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_sdk_dynamodb::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut},
    },
    error::BoxError,
    operation::{
        get_item::GetItemInput, query::QueryInput, transact_write_items::TransactWriteItemsInput,
        update_item::UpdateItemInput,
    },
    types::ReturnConsumedCapacity,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use serde_json::Value;

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

/// What a call does, in the bag of that call.
#[derive(Clone, Copy, Debug)]
enum Call {
    Read,
    Write,
    Transaction,
}

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

/// The half units of an answer: of the one table that was asked, or of each.
fn half_units(consumed: &Value) -> u64 {
    let tables = consumed.as_array().map_or(std::slice::from_ref(consumed), Vec::as_slice);
    let units: f64 = tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let halves = (units * 2.0).round() as u64;
    halves
}

/// Asks for the capacity in every request, and reads it from every answer: the code that is measured does not change. From
/// its bytes, since the service takes those of a query away before the SDK reads them.
impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (input, total) = (context.input_mut(), Some(ReturnConsumedCapacity::Total));
        let call = if let Some(query) = input.downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
            Call::Read
        } else if let Some(get) = input.downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
            Call::Read
        } else if let Some(update) = input.downcast_mut::<UpdateItemInput>() {
            update.return_consumed_capacity = total;
            Call::Write
        } else if let Some(transaction) = input.downcast_mut::<TransactWriteItemsInput>() {
            transaction.return_consumed_capacity = total;
            Call::Transaction
        } else {
            return Ok(());
        };
        bag.interceptor_state().store_put(call);
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (response, Some(call)) = (context.response(), bag.load::<Call>()) else { return Ok(()) };
        if !response.status().is_success() {
            return Ok(());
        }
        let bytes = response.body().bytes().ok_or("the answer has not been read")?;
        let halves = half_units(&serde_json::from_slice::<Value>(bytes)?["ConsumedCapacity"]);
        let Counts { half_units_read, half_units_written, transactions } = &*self.0;
        match call {
            Call::Read => half_units_read.fetch_add(halves, Ordering::Relaxed),
            Call::Write | Call::Transaction => half_units_written.fetch_add(halves, Ordering::Relaxed),
        };
        transactions.fetch_add(u64::from(matches!(call, Call::Transaction)), Ordering::Relaxed);
        Ok(())
    }
}
