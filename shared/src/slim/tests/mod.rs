//! The views that the tests share: three levels of nesting, and one object that can be filled completely.

mod parse;
mod properties;
mod same;
mod types;
mod write;

use serde_json::Value;

use super::{Level, Selection, SelectionError, Slim, Slimmed};

#[derive(Slim)]
struct User<'a> {
    id: &'a str,
    full_name: String,
    #[slim(detail)]
    email: Option<&'a str>,
    #[slim(detail, nested)]
    address: Option<&'a Address>,
    #[slim(full, nested)]
    orders: Vec<Order<'a>>,
    #[slim(full, rename = "notes")]
    remarks: Option<String>,
}

#[derive(Slim)]
struct Address {
    city: &'static str,
    #[slim(detail, nested)]
    geo: Option<Geo>,
    #[slim(full)]
    street: &'static str,
}

#[derive(Slim)]
struct Geo {
    lat: f64,
    #[slim(full)]
    lon: f64,
}

#[derive(Slim)]
struct Order<'a> {
    id: u32,
    #[slim(detail, nested)]
    ship_to: &'a Address,
}

const ADDRESS: Address = Address { city: "Oslo", geo: Some(Geo { lat: 59.5, lon: 10.5 }), street: "Storgata 1" };

/// A user in which every field has a value.
fn user() -> User<'static> {
    User {
        id: "u1",
        full_name: "Ada".to_owned(),
        email: Some("ada@example.com"),
        address: Some(&ADDRESS),
        orders: vec![Order { id: 7, ship_to: &ADDRESS }],
        remarks: Some("vip".to_owned()),
    }
}

/// A type that contains itself.
#[derive(Slim)]
struct Tree {
    id: u8,
    #[slim(nested)]
    children: Vec<Tree>,
    #[slim(full)]
    secret: u8,
}

fn json<T: Slim + ?Sized>(value: &T, selection: &Selection) -> String {
    serde_json::to_string(&Slimmed::new(value, selection)).expect("a view can be written")
}

fn value<T: Slim + ?Sized>(value: &T, selection: &Selection) -> Value {
    serde_json::to_value(Slimmed::new(value, selection)).expect("a view can be written")
}

/// The selection of a list of fields without a level and with everything allowed.
fn fields(list: &str) -> Selection {
    Selection::parse::<User>(None, Some(list), Level::Full).expect("the list is valid")
}

fn error(level: Option<Level>, fields: Option<&str>, ceiling: Level) -> SelectionError {
    Selection::parse::<User>(level, fields, ceiling).expect_err("the request is refused")
}
