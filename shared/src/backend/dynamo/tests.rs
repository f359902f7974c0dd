//! What is read of DynamoDB's JSON, against `serde_dynamo`.

use std::collections::BTreeMap;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use serde_json::json;

use super::attribute::Attributes;

/// All that serde knows and an entity may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entity {
    text: String,
    number: i64,
    large: u64,
    fraction: f64,
    small: Option<u8>,
    flag: bool,
    nothing: (),
    list: Vec<Option<Wrapped>>,
    pair: (u16, char),
    map: BTreeMap<String, Vec<Variety>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inner: Option<Box<Entity>>,
    tagged: Tagged,
    untagged: Untagged,
    #[serde(flatten)]
    flat: Flat,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(i32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    depth: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Variety {
    Plain,
    Of(String),
    Two(u8, bool),
    Named { amount: i64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { value: u32 },
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<bool>),
}

fn variety() -> impl Strategy<Value = Variety> {
    prop_oneof![
        Just(Variety::Plain),
        any::<String>().prop_map(Variety::Of),
        any::<(u8, bool)>().prop_map(|(number, flag)| Variety::Two(number, flag)),
        any::<i64>().prop_map(|amount| Variety::Named { amount }),
    ]
}

fn entity() -> impl Strategy<Value = Entity> {
    let scalars = (any::<String>(), any::<i64>(), any::<u64>(), -1e9..1e9_f64, any::<Option<u8>>(), any::<bool>());
    let lists = (
        vec(option::of(any::<i32>().prop_map(Wrapped)), 0..4),
        any::<(u16, char)>(),
        btree_map(any::<String>(), vec(variety(), 0..3), 0..3),
    );
    let tagged = prop_oneof![any::<u32>().prop_map(|value| Tagged::One { value }), Just(Tagged::None)];
    let untagged = prop_oneof![
        any::<i64>().prop_map(Untagged::Number),
        any::<String>().prop_map(Untagged::Text),
        vec(any::<bool>(), 0..3).prop_map(Untagged::List),
    ];
    let whole = (scalars, lists, tagged, untagged, any::<u8>()).prop_map(
        |((text, number, large, fraction, small, flag), (list, pair, map), tagged, untagged, depth)| Entity {
            text,
            number,
            large,
            fraction,
            small,
            flag,
            nothing: (),
            list,
            pair,
            map,
            inner: None,
            tagged,
            untagged,
            flat: Flat { depth },
        },
    );
    let whole = whole.boxed();
    (whole.clone(), option::of(whole)).prop_map(|(outer, inner)| Entity { inner: inner.map(Box::new), ..outer })
}

proptest! {
    /// What `serde_dynamo` has written, and what it reads of that itself.
    #[test]
    fn it_reads_what_is_written(entity in entity()) {
        let item: serde_dynamo::Item = serde_dynamo::to_item(&entity).expect("an item");
        let text = serde_json::to_string(&item).expect("JSON");
        let Attributes(read) = serde_json::from_str::<Attributes<Entity>>(&text).expect("readable");
        prop_assert_eq!(&read, &entity);
        prop_assert_eq!(serde_dynamo::from_item::<_, Entity>(item).expect("readable"), entity);
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: &serde_json::Value) -> Result<T, String> {
    #[derive(Deserialize)]
    struct One<T> {
        value: T,
    }
    let text = json!({ "other": { "M": { "x": { "L": [{ "S": "y" }] } } }, "value": value }).to_string();
    let item = serde_json::from_str::<Attributes<One<T>>>(&text).map_err(|error| error.to_string())?;
    Ok(item.0.value)
}

#[test]
fn sets_and_bytes_are_lists() {
    assert_eq!(read(&json!({ "SS": ["a", "b"] })), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(read(&json!({ "NS": ["-1", "2"] })), Ok(vec![-1, 2]));
    assert_eq!(read(&json!({ "B": "AQI=" })), Ok(ByteBuf(vec![1, 2])));
    assert_eq!(read(&json!({ "BS": ["AQI=", ""] })), Ok(vec![ByteBuf(vec![1, 2]), ByteBuf(vec![])]));
}

#[derive(Debug, PartialEq)]
struct ByteBuf(Vec<u8>);

impl<'de> Deserialize<'de> for ByteBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = ByteBuf;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<ByteBuf, E> {
                Ok(ByteBuf(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Take)
    }
}

#[test]
fn what_is_not_typed_or_not_of_the_type_is_an_error() {
    let cases = [
        (json!({ "X": "1" }), "unknown variant `X`"),
        (json!({}), "a value has no type"),
        (json!("1"), "expected a value with its type"),
        (json!({ "N": 1 }), "expected a number as text"),
        (json!({ "N": "one" }), "\"one\" is no number"),
        (json!({ "N": "256" }), "invalid value: integer `256`, expected u8"),
        (json!({ "S": "1" }), "invalid type: string \"1\", expected u8"),
        (json!({ "NULL": true }), "invalid type: null, expected u8"),
        (json!({ "N": "1", "S": "1" }), "trailing"),
    ];
    for (value, expected) in cases {
        let error = read::<u8>(&value).expect_err("an error");
        assert!(error.contains(expected), "{value}: {error}");
    }
}
