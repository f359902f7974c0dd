//! From what a client ordered to what it costs. A client never names a price.

use std::collections::HashMap;

use jiff::Timestamp;
use products::{Product, Products};
use shared::{ApiError, Id, delta::Record, values::Money};

use crate::model::{Line, Order, OrderDraft, Status};

/// The products that a draft names, as far as the catalogue has them.
#[derive(Debug, Default)]
pub(crate) struct Prices(HashMap<Id, Product>);

impl Prices {
    /// Looks up the products of a draft, all at once.
    pub(crate) async fn of(draft: &OrderDraft, catalogue: &Products) -> Result<Self, ApiError> {
        let mut lookups = tokio::task::JoinSet::new();
        for line in &draft.items {
            let (catalogue, id) = (catalogue.clone(), line.product_id.clone());
            lookups.spawn(async move { catalogue.get(&id).await });
        }
        let mut prices = HashMap::new();
        while let Some(found) = lookups.join_next().await {
            let found: Option<Record<Product>> = found.map_err(ApiError::internal)??;
            if let Some(Record { id, value: Some(product), .. }) = found {
                prices.insert(id, product);
            }
        }
        Ok(Self(prices))
    }

    /// The order that a draft makes of the current one, if there is one. A product that was in it keeps its price.
    pub(crate) fn apply(&self, draft: &OrderDraft, current: Option<&Order>) -> Result<Order, ApiError> {
        let now = Timestamp::now();
        let mut items = Vec::with_capacity(draft.items.len());
        for (index, line) in draft.items.iter().enumerate() {
            let kept = current.and_then(|order| order.items.iter().find(|kept| kept.product_id == line.product_id));
            let (name, unit_price) = match (kept, self.0.get(&line.product_id)) {
                (Some(kept), _) => (kept.name.clone(), kept.unit_price.clone()),
                (None, Some(product)) => (product.name.clone(), product.price.clone()),
                (None, None) => {
                    return Err(ApiError::validation(format!("items[{index}].productId"), "is not in the catalogue"));
                }
            };
            items.push(Line { product_id: line.product_id.clone(), name, quantity: line.quantity, unit_price });
        }
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
