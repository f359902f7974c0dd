//! From what a client ordered to what it costs. A client never names a price.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use products::{Product, Products};
use shared::{
    ApiError, Id,
    delta::Record,
    http::call::Call,
    values::{Money, now},
};
use tokio::task::JoinSet;

use crate::model::{Line, Order, OrderDraft, Status};

/// How many products are looked up at a time: a batch may name thousands.
const AT_ONCE: usize = 50;

/// Prices orders. Remembers what it has looked up, so that a write that is tried again, or the next one of a batch, asks
/// only once. Clones remember together.
#[derive(Clone, Debug)]
pub(crate) struct Pricing {
    catalogue: Products,
    call: Call,
    known: Arc<Mutex<HashMap<Id, Option<Product>>>>,
}

impl Pricing {
    /// For one request. An old price is no price.
    pub(crate) fn new(catalogue: &Products, call: &Call) -> Self {
        Self { catalogue: catalogue.clone(), call: call.current(), known: Arc::default() }
    }

    /// The order that a draft makes of the current one, if there is one. A product that was in it keeps its price.
    pub(crate) async fn apply(&self, draft: &OrderDraft, current: Option<&Order>) -> Result<Order, ApiError> {
        let kept = |id: &Id| current.and_then(|order| order.items.iter().find(|line| line.product_id == *id));
        self.look_up(draft.items.iter().map(|line| &line.product_id).filter(|id| kept(id).is_none())).await?;
        let known = self.known();
        let mut items = Vec::with_capacity(draft.items.len());
        for (index, line) in draft.items.iter().enumerate() {
            let known = known.get(&line.product_id).and_then(Option::as_ref);
            let (name, unit_price) = match (kept(&line.product_id), known) {
                (Some(kept), _) => (kept.name.clone(), kept.unit_price.clone()),
                (None, Some(product)) => (product.name.clone(), product.price.clone()),
                (None, None) => {
                    return Err(ApiError::validation(format!("items[{index}].productId"), "is not in the catalogue"));
                }
            };
            items.push(Line { product_id: line.product_id.clone(), name, quantity: line.quantity, unit_price });
        }
        let now = now();
        Ok(Order {
            total: total(&items)?,
            items,
            status: current.map_or(Status::Pending, |order| order.status),
            note: draft.note.clone(),
            shipping_address: draft.shipping_address.clone(),
            created_at: current.map_or(now, |order| order.created_at),
            updated_at: now,
        })
    }

    /// Asks for all products that are not known yet, so many at the same time.
    pub(crate) async fn look_up(&self, ids: impl Iterator<Item = &Id>) -> Result<(), ApiError> {
        let unknown: HashSet<Id> = {
            let known = self.known();
            ids.filter(|id| !known.contains_key(*id)).cloned().collect()
        };
        let mut unknown = unknown.into_iter();
        let mut lookups = JoinSet::new();
        loop {
            for id in unknown.by_ref().take(AT_ONCE - lookups.len()) {
                let (catalogue, call) = (self.catalogue.clone(), self.call.clone());
                lookups.spawn(async move {
                    let found = catalogue.get(&id, &call).await;
                    (id, found)
                });
            }
            let Some(found) = lookups.join_next().await else { break };
            let (id, found): (Id, Result<Option<Record<Product>>, ApiError>) = found.map_err(ApiError::internal)?;
            self.known().insert(id, found?.and_then(|record| record.value));
        }
        Ok(())
    }

    /// Nobody can leave the map half-written, so a panic elsewhere is no reason not to read it.
    fn known(&self) -> MutexGuard<'_, HashMap<Id, Option<Product>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn total(lines: &[Line]) -> Result<Money, ApiError> {
    let currency = lines.first().map_or("", |line| &line.unit_price.currency);
    let mut amount: i64 = 0;
    for (index, line) in lines.iter().enumerate() {
        if line.unit_price.currency != currency {
            let reason = format!("is priced in {}, the order in {currency}", line.unit_price.currency);
            return Err(ApiError::validation(format!("items[{index}].productId"), reason));
        }
        amount = line
            .unit_price
            .amount
            .checked_mul(i64::from(line.quantity))
            .and_then(|cost| amount.checked_add(cost))
            .ok_or_else(|| ApiError::validation("items", "cost more than can be counted"))?;
    }
    Ok(Money { amount, currency: currency.to_owned() })
}
