//! An order as clients see it.

use jiff::Timestamp;
use schemars::JsonSchema;
use shared::{
    delta::Record,
    http::{
        context::{V1, V2},
        view::Shape,
    },
    slim::Slim,
    values::{Address, Money},
};

use crate::{
    model::{Line, Order, Status},
    routes::State,
};

/// Version 1: flat money.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct OrderV1<'a> {
    id: &'a str,
    version: u64,
    status: Status,
    #[slim(detail)]
    quantity: u64,
    #[slim(detail)]
    total: i64,
    #[slim(detail)]
    currency: &'a str,
    #[slim(detail)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    updated_at: Timestamp,
    #[slim(full, nested)]
    items: Vec<LineV1<'a>>,
    #[slim(full)]
    note: Option<&'a str>,
    #[slim(full, nested)]
    shipping_address: Option<&'a Address>,
    #[slim(full)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    created_at: Timestamp,
}

/// A line in version 1.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct LineV1<'a> {
    product_id: &'a str,
    name: &'a str,
    quantity: u32,
    unit_price: i64,
}

/// Version 2: money as objects, and the lines at level detail.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct OrderV2<'a> {
    id: &'a str,
    version: u64,
    status: Status,
    #[slim(detail, nested)]
    total: &'a Money,
    #[slim(detail, nested)]
    items: Vec<LineV2<'a>>,
    #[slim(detail)]
    note: Option<&'a str>,
    #[slim(detail)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    updated_at: Timestamp,
    #[slim(full, nested)]
    shipping_address: Option<&'a Address>,
    #[slim(full)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    created_at: Timestamp,
}

/// A line in version 2.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct LineV2<'a> {
    product_id: &'a str,
    quantity: u32,
    #[slim(full)]
    name: &'a str,
    #[slim(full, nested)]
    unit_price: &'a Money,
}

impl Shape<Record<Order>, State> for V1 {
    type View<'a> = OrderV1<'a>;

    fn view<'a>(record: &'a Record<Order>, _: &State) -> Option<OrderV1<'a>> {
        let order = record.value.as_ref()?;
        Some(OrderV1 {
            id: record.id.as_str(),
            version: record.version,
            status: order.status,
            quantity: order.items.iter().map(|line| u64::from(line.quantity)).sum(),
            total: order.total.amount,
            currency: &order.total.currency,
            updated_at: order.updated_at,
            items: order.items.iter().map(LineV1::from).collect(),
            note: order.note.as_deref(),
            shipping_address: order.shipping_address.as_ref(),
            created_at: order.created_at,
        })
    }
}

impl Shape<Record<Order>, State> for V2 {
    type View<'a> = OrderV2<'a>;

    fn view<'a>(record: &'a Record<Order>, _: &State) -> Option<OrderV2<'a>> {
        let order = record.value.as_ref()?;
        Some(OrderV2 {
            id: record.id.as_str(),
            version: record.version,
            status: order.status,
            total: &order.total,
            items: order.items.iter().map(LineV2::from).collect(),
            note: order.note.as_deref(),
            updated_at: order.updated_at,
            shipping_address: order.shipping_address.as_ref(),
            created_at: order.created_at,
        })
    }
}

impl<'a> From<&'a Line> for LineV1<'a> {
    fn from(line: &'a Line) -> Self {
        let Line { product_id, name, quantity, unit_price } = line;
        Self { product_id: product_id.as_str(), name, quantity: *quantity, unit_price: unit_price.amount }
    }
}

impl<'a> From<&'a Line> for LineV2<'a> {
    fn from(line: &'a Line) -> Self {
        let Line { product_id, name, quantity, unit_price } = line;
        Self { product_id: product_id.as_str(), quantity: *quantity, name, unit_price }
    }
}
