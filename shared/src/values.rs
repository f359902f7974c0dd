//! Value types that more than one route group stores and shows.

use jiff::{Timestamp, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::slim::Slim;

/// The present, to the second: the ISO 8601 decoder of Apple's platforms refuses fractions.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round((Unit::Second, 1)).unwrap_or(now)
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Slim)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Money {
    /// In the currency's minor unit: cents, or yen.
    pub amount: i64,
    /// ISO 4217, for example `USD`.
    pub currency: String,
}

/// A postal address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Slim)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an address object")]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// State or province, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Postal code.
    pub zip_code: String,
    /// Country.
    pub country: String,
}
