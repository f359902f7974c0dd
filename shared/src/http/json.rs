//! JSON and query strings from clients: limits first, then types, and errors that name the field.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::error::ApiError;

/// How deep a body may nest.
const MAX_DEPTH: usize = 32;
/// How many elements one array of a body may have.
const MAX_ARRAY: usize = 500;

/// Parses a body.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    check_limits(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(named)?;
    deserializer.end().map_err(|error| ApiError::validation("body", error))?;
    Ok(value)
}

/// Turns a JSON value that was made here, by merging for example, into a type.
///
/// # Errors
/// `VALIDATION_ERROR` that names the field.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(named)
}

/// Parses a query string (`application/x-www-form-urlencoded`).
pub(super) fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(named)
}

/// The field by its path, or `body` when the fault is not in a field.
fn named<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> ApiError {
    let path = error.path().to_string();
    let in_root = !error.path().iter().any(|segment| !matches!(segment, Segment::Unknown));
    let reason = error.into_inner().to_string();
    // For these two the path stops at the object; the field is only in serde's words.
    let field = ["missing field `", "duplicate field `"].iter().find_map(|words| {
        let (field, _) = reason.strip_prefix(words)?.split_once('`')?;
        Some(field)
    });
    let field = match (field, in_root) {
        (Some(field), true) => field.to_owned(),
        (Some(field), false) => format!("{path}.{field}"),
        (None, true) => "body".to_owned(),
        (None, false) => path,
    };
    ApiError::validation(field, reason)
}

/// Counts brackets and commas before anything is built. Faulty JSON is left to the parser, which has better words.
fn check_limits(bytes: &[u8]) -> Result<(), ApiError> {
    let mut open: Vec<Container> = Vec::new();
    let mut in_string = false;
    let mut escaped = false;
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => open.push(Container { is_array: byte == b'[', commas: 0 }),
            b']' | b'}' => drop(open.pop()),
            b',' => {
                if let Some(container) = open.last_mut() {
                    container.commas += 1;
                    if container.is_array && container.commas >= MAX_ARRAY {
                        let reason = format!("an array may have up to {MAX_ARRAY} elements");
                        return Err(ApiError::validation("body", reason));
                    }
                }
            }
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(ApiError::validation("body", format!("may nest up to {MAX_DEPTH} levels deep")));
        }
    }
    Ok(())
}

struct Container {
    is_array: bool,
    commas: usize,
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Order {
        #[serde(rename = "items")]
        _items: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Line {
        #[serde(rename = "quantity")]
        _quantity: u32,
    }

    fn fault(body: &str) -> String {
        from_slice::<Order>(body.as_bytes()).expect_err(body).message().to_owned()
    }

    #[test]
    fn the_field_is_named() {
        assert!(fault(r#"{"items":[{"quantity":"x"}]}"#).starts_with("items[0].quantity: invalid type: string"));
        assert!(fault(r#"{"items":[{"quantity":1,"price":0}]}"#).starts_with("items[0].price: unknown field"));
        assert!(fault(r#"{"items":[{"quantity":-1}]}"#).starts_with("items[0].quantity: invalid value"));
        assert!(fault(r#"{"items":[{}]}"#).starts_with("items[0].quantity: missing field"));
        assert!(fault("{}").starts_with("items: missing field"));
        assert!(fault("{").starts_with("body: EOF"));
        assert!(fault("").starts_with("body: EOF"));
        assert!(fault(r#"{"items":[]} x"#).starts_with("body: trailing characters"));
    }

    #[test]
    fn depth_and_length_are_limited_outside_strings() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check_limits(deep(32).as_bytes()).is_ok());
        assert!(check_limits(deep(33).as_bytes()).is_err());
        let long = |n: usize| format!("[{}]", vec!["1"; n].join(","));
        assert!(check_limits(long(500).as_bytes()).is_ok());
        assert!(check_limits(long(501).as_bytes()).is_err());
        let text = format!(r#"["{}\"[,"]"#, "[,".repeat(600));
        assert!(check_limits(text.as_bytes()).is_ok());
    }
}
