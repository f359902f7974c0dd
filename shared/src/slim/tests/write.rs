//! What is written for a selection.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{Error as _, Serializer};
use serde_json::json;

use super::super::Level::{Detail, Full, Minimal};
use super::*;

#[test]
fn each_level_includes_the_ones_below() {
    let user = user();
    assert_eq!(json(&user, &Selection::at(Minimal)), r#"{"id":"u1","fullName":"Ada"}"#);
    assert_eq!(
        value(&user, &Selection::at(Detail)),
        json!({
            "id": "u1", "fullName": "Ada", "email": "ada@example.com",
            "address": {"city": "Oslo", "geo": {"lat": 59.5}},
        })
    );
    let address = json!({"city": "Oslo", "geo": {"lat": 59.5, "lon": 10.5}, "street": "Storgata 1"});
    assert_eq!(
        value(&user, &Selection::at(Full)),
        json!({
            "id": "u1", "fullName": "Ada", "email": "ada@example.com", "address": address,
            "orders": [{"id": 7, "shipTo": address}], "notes": "vip",
        })
    );
}

#[test]
fn fields_come_in_the_order_of_the_type() {
    assert_eq!(json(&user(), &fields("notes,fullName,id")), r#"{"id":"u1","fullName":"Ada","notes":"vip"}"#);
}

#[test]
fn a_part_three_levels_down_is_reached() {
    assert_eq!(
        json(&user(), &fields("orders.shipTo.geo.lon,address.city")),
        r#"{"address":{"city":"Oslo"},"orders":[{"shipTo":{"geo":{"lon":10.5}}}]}"#
    );
}

#[test]
fn a_nested_object_named_alone_comes_at_the_level_of_the_request() {
    let at = |level| Selection::parse::<User>(level, Some("address"), Full).expect("valid");
    assert_eq!(json(&user(), &at(Some(Detail))), r#"{"address":{"city":"Oslo","geo":{"lat":59.5}}}"#);
    let all = r#"{"address":{"city":"Oslo","geo":{"lat":59.5,"lon":10.5},"street":"Storgata 1"}}"#;
    assert_eq!(json(&user(), &at(None)), all);
    let capped = Selection::parse::<User>(None, Some("address"), Detail).expect("valid");
    assert_eq!(capped, at(Some(Detail)));
}

#[test]
fn empty_options_are_left_out() {
    let user = User { email: None, address: None, remarks: None, orders: vec![], ..user() };
    assert_eq!(json(&user, &Selection::at(Full)), r#"{"id":"u1","fullName":"Ada","orders":[]}"#);
    assert_eq!(json(&user, &fields("email,address.city,notes")), "{}");
}

#[test]
fn null_is_left_out_however_the_type_is_spelled() {
    type Maybe<T> = Option<T>;

    #[derive(Serialize)]
    struct Wrapper(Option<u8>);

    #[derive(Slim)]
    struct View<'a, T> {
        generic: T,
        alias: Maybe<u8>,
        newtype: Wrapper,
        twice: Maybe<Option<u8>>,
        shared: &'a Option<u8>,
        json: Value,
        unit: (),
        not_a_number: f32,
        #[slim(nested)]
        boxed: Option<Box<Option<Geo>>>,
    }

    let view = View {
        generic: None::<u8>,
        alias: None,
        newtype: Wrapper(None),
        twice: Some(None),
        shared: &None,
        json: Value::Null,
        unit: (),
        not_a_number: f32::NAN,
        boxed: Some(Box::new(None)),
    };
    assert_eq!(json(&view, &Selection::at(Full)), "{}");

    let view = View {
        generic: Some(1),
        alias: Some(2),
        newtype: Wrapper(Some(3)),
        twice: Some(Some(4)),
        shared: &Some(5),
        json: json!([null]),
        unit: (),
        not_a_number: 6.5,
        boxed: Some(Box::new(Some(Geo { lat: 7.5, lon: 8.5 }))),
    };
    assert_eq!(
        json(&view, &Selection::at(Full)),
        concat!(
            r#"{"generic":1,"alias":2,"newtype":3,"twice":4,"shared":5,"json":[null],"#,
            r#""notANumber":6.5,"boxed":{"lat":7.5,"lon":8.5}}"#
        )
    );
}

#[test]
fn leaves_of_every_shape_are_written() {
    #[derive(Serialize)]
    enum Kind {
        Plain,
        Sized { w: u8 },
        Pair(u8, u8),
        One(u8),
    }

    #[derive(Slim)]
    struct View<'a> {
        kinds: [Kind; 4],
        plain: Kind,
        tuple: (u8, char, bool),
        map: BTreeMap<&'a str, Option<u8>>,
        text: Cow<'a, str>,
        r#type: i64,
        wide: u128,
        formatted: std::net::Ipv4Addr,
    }

    let view = View {
        kinds: [Kind::Plain, Kind::Sized { w: 1 }, Kind::Pair(2, 3), Kind::One(4)],
        plain: Kind::Plain,
        tuple: (5, 'x', true),
        map: BTreeMap::from([("a", None)]),
        text: Cow::Borrowed("t"),
        r#type: -6,
        wide: 7,
        formatted: std::net::Ipv4Addr::LOCALHOST,
    };
    assert_eq!(
        json(&view, &Selection::at(Minimal)),
        concat!(
            r#"{"kinds":["Plain",{"Sized":{"w":1}},{"Pair":[2,3]},{"One":4}],"plain":"Plain","tuple":[5,"x",true],"#,
            r#""map":{"a":null},"text":"t","type":-6,"wide":7,"formatted":"127.0.0.1"}"#
        )
    );
}

#[test]
fn lists_options_and_pointers_are_written_as_what_they_hold() {
    let selection = fields("id");
    let one = r#"{"id":"u1"}"#;
    assert_eq!(json(&vec![user(), user()], &selection), format!("[{one},{one}]"));
    assert_eq!(json(&[user()][..], &selection), format!("[{one}]"));
    assert_eq!(json(&[user()], &selection), format!("[{one}]"));
    assert_eq!(json(&Some(Box::new(user())), &selection), one);
    assert_eq!(json(&Arc::new(user()), &selection), one);
    assert_eq!(json::<[User]>(&[], &selection), "[]");
}

#[test]
fn an_empty_element_of_a_list_stays_in_its_place() {
    assert_eq!(json(&[None, Some(user())], &fields("id")), r#"[null,{"id":"u1"}]"#);
    assert_eq!(json(&None::<User>, &fields("id")), "null");
}

#[test]
fn a_slimmed_value_fits_into_any_other_type() {
    #[derive(Serialize)]
    struct Page<'a> {
        items: Slimmed<'a, [User<'a>]>,
        next: Option<&'a str>,
    }

    let (users, selection) = ([user()], fields("id"));
    let page = Page { items: Slimmed::new(&users, &selection), next: Some("c2") };
    let text = serde_json::to_string(&page).expect("a page can be written");
    assert_eq!(text, r#"{"items":[{"id":"u1"}],"next":"c2"}"#);
}

#[test]
fn a_selection_for_another_type_is_refused() {
    let geo = Selection::parse::<Geo>(None, Some("lon"), Full).expect("valid");
    let error = serde_json::to_string(&Slimmed::new(&user(), &geo)).expect_err("the types differ");
    assert_eq!(error.to_string(), "the selection was parsed for another type");
    // A level alone fits every type.
    let level = Selection::parse::<Geo>(Some(Minimal), None, Full).expect("valid");
    assert_eq!(json(&user(), &level), r#"{"id":"u1","fullName":"Ada"}"#);
}

#[test]
fn an_error_of_a_leaf_is_passed_on() {
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("broken"))
        }
    }

    #[derive(Slim)]
    struct View {
        leaf: Broken,
    }

    let selection = Selection::at(Minimal);
    let error = serde_json::to_string(&Slimmed::new(&View { leaf: Broken }, &selection)).expect_err("broken");
    assert_eq!(error.to_string(), "broken");
}
