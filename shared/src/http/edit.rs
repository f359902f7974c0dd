//! Bodies of writes: the version and id that travel with the content, and merge patches.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::json;
use crate::{Id, error::ApiError};

/// The body of a write, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The version that the write is based on, if the body says so. 0 says that there is nothing yet.
    pub version: Option<u64>,
    /// All the rest.
    pub content: Map<String, Value>,
}

impl Edit {
    /// Takes `version` out of a body, and `id`, which may only repeat the path's.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when `version` is not a whole number from 0, or when `id` is another one.
    pub fn of(mut body: Map<String, Value>, id: Option<&Id>) -> Result<Self, ApiError> {
        let version = match body.remove("version") {
            None => None,
            Some(version) => {
                let number = version.as_u64();
                Some(number.ok_or_else(|| ApiError::validation("version", "must be a whole number from 0"))?)
            }
        };
        if let Some(id) = id
            && body.remove("id").is_some_and(|said| said.as_str() != Some(id.as_str()))
        {
            return Err(ApiError::validation("id", "is not the id of the path"));
        }
        Ok(Self { version, content: body })
    }

    /// The content as a complete document.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    pub fn parse<T: Serialize + DeserializeOwned>(&self) -> Result<T, ApiError> {
        json::from_value(&Value::Object(self.content.clone()))
    }

    /// The content as a merge patch (RFC 7396) on the current document.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field, when the result is not a document of this type.
    pub fn merge_into<T: Serialize + DeserializeOwned>(&self, current: &T) -> Result<T, ApiError> {
        let mut document = serde_json::to_value(current).map_err(ApiError::internal)?;
        json_patch::merge(&mut document, &Value::Object(self.content.clone()));
        json::from_value(&document)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Note {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    }

    fn edit(body: Value) -> Result<Edit, ApiError> {
        let Value::Object(body) = body else { panic!("an object") };
        Edit::of(body, Some(&"n-1".parse().expect("legal")))
    }

    #[test]
    fn version_and_id_are_taken_out() {
        let taken = edit(json!({ "id": "n-1", "version": 7, "text": "a" })).expect("well formed");
        assert_eq!(taken.version, Some(7));
        assert_eq!(taken.parse::<Note>().expect("complete").text, "a");
        for bad in
            [json!({ "version": -1 }), json!({ "version": "7" }), json!({ "version": 1.5 }), json!({ "id": "n-2" })]
        {
            assert!(edit(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_patch_sets_removes_and_names_what_it_may_not() {
        let current = Note { text: "a".into(), tag: Some("t".into()) };
        let patched = |body| edit(body).expect("well formed").merge_into(&current);
        assert_eq!(patched(json!({ "tag": null })).expect("optional"), Note { text: "a".into(), tag: None });
        assert_eq!(patched(json!({ "text": "b" })).expect("set").text, "b");
        assert!(patched(json!({ "text": null })).expect_err("required").message().contains("text"));
        assert!(patched(json!({ "color": 1 })).expect_err("unknown").message().starts_with("color:"));
    }
}
