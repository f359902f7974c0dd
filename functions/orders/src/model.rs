//! An order as the store has it, and the part of it that its owner writes.

use std::collections::HashSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    ApiError, Id,
    delta::Entity,
    values::{Address, Money},
};

const MAX_LINES: usize = 50;
const MAX_QUANTITY: u32 = 999;
const MAX_NOTE: usize = 500;
const MAX_ADDRESS_FIELD: usize = 200;

/// The stored entity. Its id and version stand beside it in the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// What is ordered.
    pub items: Vec<Line>,
    /// How far it has come. Set by the shop, not by the app.
    pub status: Status,
    /// Sum over the lines.
    pub total: Money,
    /// A message to the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where to send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<Address>,
    /// First version.
    pub created_at: Timestamp,
    /// This version.
    pub updated_at: Timestamp,
}

/// One product of an order, at the price of the time when it was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The product.
    pub product_id: Id,
    /// Its name when it was added.
    pub name: String,
    /// Pieces.
    pub quantity: u32,
    /// Price for one.
    pub unit_price: Money,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Received.
    Pending,
    /// Accepted by the shop.
    Confirmed,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
}

/// The part of an order that its owner writes. Prices, names, status and times are the server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an order object")]
pub struct OrderDraft {
    /// 1 to 50 products, each once.
    #[schemars(length(min = 1, max = MAX_LINES))]
    pub items: Vec<DraftLine>,
    /// Up to 500 characters.
    #[schemars(length(max = MAX_NOTE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where to send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<Address>,
}

/// One product of a draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object with productId and quantity")]
pub struct DraftLine {
    /// The product.
    pub product_id: Id,
    /// 1 to 999.
    #[schemars(range(min = 1, max = MAX_QUANTITY))]
    pub quantity: u32,
}

impl Order {
    /// The part that its owner wrote.
    pub fn draft(&self) -> OrderDraft {
        let line = |line: &Line| DraftLine { product_id: line.product_id.clone(), quantity: line.quantity };
        OrderDraft {
            items: self.items.iter().map(line).collect(),
            note: self.note.clone(),
            shipping_address: self.shipping_address.clone(),
        }
    }
}

impl Entity for Order {}

impl OrderDraft {
    /// Checks lengths and ranges.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    pub fn validate(&self) -> Result<(), ApiError> {
        if !(1..=MAX_LINES).contains(&self.items.len()) {
            return Err(ApiError::validation("items", format!("must have 1 to {MAX_LINES} elements")));
        }
        let mut seen = HashSet::new();
        for (index, line) in self.items.iter().enumerate() {
            if !(1..=MAX_QUANTITY).contains(&line.quantity) {
                return Err(ApiError::validation(
                    format!("items[{index}].quantity"),
                    format!("must be 1 to {MAX_QUANTITY}"),
                ));
            }
            if !seen.insert(&line.product_id) {
                let reason = "is in the order already; raise its quantity instead";
                return Err(ApiError::validation(format!("items[{index}].productId"), reason));
            }
        }
        let legible = |note: &str| note.chars().all(|c| !c.is_control() || c == '\n');
        if self.note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE || !legible(note)) {
            return Err(ApiError::validation(
                "note",
                format!("may have up to {MAX_NOTE} characters, in lines of text"),
            ));
        }
        self.shipping_address.as_ref().map_or(Ok(()), validate_address)
    }
}

fn validate_address(address: &Address) -> Result<(), ApiError> {
    let state = address.state.as_deref().unwrap_or("-");
    let fields = [
        ("street", address.street.as_str()),
        ("city", &address.city),
        ("state", state),
        ("zipCode", &address.zip_code),
        ("country", &address.country),
    ];
    for (field, value) in fields {
        if value.trim().is_empty() || value.chars().count() > MAX_ADDRESS_FIELD || value.chars().any(char::is_control) {
            let reason = format!("must have 1 to {MAX_ADDRESS_FIELD} characters");
            return Err(ApiError::validation(format!("shippingAddress.{field}"), reason));
        }
    }
    Ok(())
}
