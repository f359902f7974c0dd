//! JSON and query strings from clients: limits first, then types, and errors that name the field.

use std::fmt;

use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_path_to_error::{Deserializer as Tracking, Segment, Track};

use crate::error::ApiError;

/// How deep a body may nest.
const MAX_DEPTH: usize = 32;
/// How deep a field may be to be named.
const MAX_NAMED_DEPTH: usize = 10;
/// How many elements one array of a body may have.
const MAX_ARRAY: usize = 500;

/// Parses a body that must be an object.
///
/// # Errors
/// `VALIDATION_ERROR` that names the field, or `body` where there is none.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut track = Track::new();
    let value = match (Strict { depth: 0 }).deserialize(Tracking::new(&mut deserializer, &mut track)) {
        Ok(value) => value,
        Err(error) => return Err(named(&track.path(), &error.to_string())),
    };
    deserializer.end().map_err(|error| ApiError::validation("body", error))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ApiError::validation("body", "must be a JSON object")),
    }
}

/// Turns a JSON value into a type.
///
/// # Errors
/// `VALIDATION_ERROR` that names the field.
pub(crate) fn from_value<T: DeserializeOwned + Serialize>(value: &Value) -> Result<T, ApiError> {
    let mut track = Track::new();
    let parsed: T = match T::deserialize(Tracking::new(value, &mut track)) {
        Ok(parsed) => parsed,
        Err(error) => return Err(named(&track.path(), &error.to_string())),
    };
    let seen = serde_json::to_value(&parsed).map_err(ApiError::internal)?;
    refuse_lists_for_objects(value, &seen, "")?;
    Ok(parsed)
}

/// serde also fills a struct from a list, by the order of its fields. That would make the order part of the API.
fn refuse_lists_for_objects(given: &Value, seen: &Value, path: &str) -> Result<(), ApiError> {
    match (given, seen) {
        (Value::Array(_), Value::Object(_)) => {
            let field = if path.is_empty() { "body" } else { path };
            Err(ApiError::validation(field, "must be an object"))
        }
        (Value::Array(given), Value::Array(seen)) => {
            let mut pairs = given.iter().zip(seen).enumerate();
            pairs.try_for_each(|(index, (given, seen))| {
                refuse_lists_for_objects(given, seen, &format!("{path}[{index}]"))
            })
        }
        (Value::Object(given), Value::Object(seen)) => {
            given.iter().try_for_each(|(name, given)| match seen.get(name) {
                Some(seen) if path.is_empty() => refuse_lists_for_objects(given, seen, name),
                Some(seen) => refuse_lists_for_objects(given, seen, &format!("{path}.{name}")),
                None => Ok(()),
            })
        }
        _ => Ok(()),
    }
}

/// Parses a query string (`application/x-www-form-urlencoded`).
pub(super) fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(|error| named(error.path(), &error.inner().to_string()))
}

/// The field by its path, or `body` when the fault is not in a field.
fn named(path: &serde_path_to_error::Path, reason: &str) -> ApiError {
    // Deep inside nonsense, a path says nothing.
    let in_root =
        path.iter().count() > MAX_NAMED_DEPTH || !path.iter().any(|segment| !matches!(segment, Segment::Unknown));
    // For these two the path stops at the object; the field is only in serde's words.
    let field = ["missing field `", "duplicate field `"].iter().find_map(|words| {
        let (field, _) = reason.strip_prefix(words)?.split_once('`')?;
        Some(field)
    });
    let field = match (field, in_root) {
        (Some(field), true) => field.to_owned(),
        (Some(field), false) => format!("{path}.{field}"),
        (None, true) => "body".to_owned(),
        (None, false) => path.to_string(),
    };
    ApiError::validation(field, reason)
}

/// Builds a JSON value within the limits, and refuses a name that comes twice: readers would disagree on its value.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nests more than {MAX_DEPTH} levels deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            if list.len() == MAX_ARRAY {
                return Err(A::Error::custom(format_args!("has more than {MAX_ARRAY} elements")));
            }
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an order")]
    struct Order {
        items: Vec<Line>,
    }

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a line")]
    struct Line {
        quantity: u32,
    }

    fn parse(body: &str) -> Result<Order, ApiError> {
        from_value(&Value::Object(object(body.as_bytes())?))
    }

    #[test]
    fn the_field_is_named() {
        let faults = [
            (r#"{"items":[{"quantity":"x"}]}"#, "items[0].quantity: invalid type: string"),
            (r#"{"items":[{"quantity":1,"price":0}]}"#, "items[0].price: unknown field"),
            (r#"{"items":[{"quantity":-1}]}"#, "items[0].quantity: invalid value"),
            (r#"{"items":[{}]}"#, "items[0].quantity: missing field"),
            (r#"{"items":[1]}"#, "items[0]: invalid type: integer `1`, expected a line"),
            ("{}", "items: missing field"),
            ("{", "body: EOF"),
            ("", "body: EOF"),
            ("[]", "body: must be a JSON object"),
            ("1", "body: must be a JSON object"),
            (r#"{"items":[]} x"#, "body: trailing characters"),
            (r#"{"items":[],"items":[]}"#, "items: duplicate field"),
            (r#"{"items":[{"quantity":1,"quantity":2}]}"#, "items[0].quantity: duplicate field"),
            (r#"{"items":[[1]]}"#, "items[0]: must be an object"),
        ];
        for (body, fault) in faults {
            let message = parse(body).expect_err(body).message().to_owned();
            assert!(message.starts_with(fault), "{body}: {message}");
        }
        assert_eq!(parse(r#"{"items":[{"quantity":2}]}"#).expect("good").items[0].quantity, 2);
    }

    #[test]
    fn depth_and_length_are_limited_outside_strings() {
        let deep = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(object(deep(31).as_bytes()).is_ok());
        assert!(object(deep(32).as_bytes()).is_err());
        assert!(object(deep(60_000).as_bytes()).is_err());
        let long = |n: usize| format!(r#"{{"a":[{}]}}"#, vec!["1"; n].join(","));
        assert!(object(long(500).as_bytes()).is_ok());
        let fault = object(long(501).as_bytes()).expect_err("too long").message().to_owned();
        assert!(fault.starts_with("a: has more than 500 elements"), "{fault}");
        let text = format!(r#"{{"a":"{}\"[,"}}"#, "[,".repeat(600));
        assert!(object(text.as_bytes()).is_ok());
    }

    #[test]
    fn numbers_keep_their_value() {
        let body = r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":0.5,"d":null,"e":true}"#;
        let expected: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(Value::Object(object(body.as_bytes()).expect("JSON")), expected);
    }

    #[test]
    fn a_repeated_query_parameter_is_named() {
        #[derive(Debug, Deserialize)]
        struct Query {
            #[serde(rename = "level")]
            _level: Option<String>,
        }
        let fault = from_query::<Query>("level=a&level=b").expect_err("twice");
        assert!(fault.message().starts_with("level: duplicate field"), "{}", fault.message());
    }
}
