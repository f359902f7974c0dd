//! Bodies of writes: the version and id that travel with the content, and merge patches.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::json;
use crate::{Id, error::ApiError};

/// The query parameter `onConflict` of a patch.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ConflictQuery {
    /// What becomes of a patch whose base has changed; a conflict without one.
    #[serde(rename = "onConflict")]
    pub on_conflict: Option<OnConflict>,
}

/// What becomes of a patch whose base has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It is applied when none of the members that it names has changed since.
    Merge,
}

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

    /// Whether a merge patch that was made for `base` can be applied to `current` without undoing anything: none of the
    /// members that it names has changed in between, unless to what the patch says.
    ///
    /// # Errors
    /// `INTERNAL` when a document cannot be written as JSON.
    pub fn is_untouched<T: Serialize>(&self, base: &T, current: &T) -> Result<bool, ApiError> {
        let base = serde_json::to_value(base).map_err(ApiError::internal)?;
        let current = serde_json::to_value(current).map_err(ApiError::internal)?;
        Ok(untouched(&self.content, &base, &current))
    }
}

/// A member that is not there is the same as null, as it is to a merge patch.
fn untouched(patch: &Map<String, Value>, base: &Value, current: &Value) -> bool {
    let member = |document: &Value, name: &str| document.get(name).cloned().unwrap_or_default();
    patch.iter().all(|(name, patch)| {
        let (base, current) = (member(base, name), member(current, name));
        match patch {
            Value::Object(inner) => untouched(inner, &base, &current),
            value => base == current || current == *value,
        }
    })
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_patch_merges_where_nobody_else_has_been() {
        let base = json!({ "text": "a", "place": { "street": "s", "city": "c" }, "list": [1, 2] });
        let cases = [
            (json!({ "text": "b" }), json!({ "tag": "t" }), true),
            (json!({ "text": "b" }), json!({ "text": "c" }), false),
            (json!({ "text": "b" }), json!({ "text": "b" }), true),
            (json!({ "text": null }), json!({ "text": "c" }), false),
            (json!({ "tag": "t" }), json!({ "text": "c" }), true),
            (json!({ "tag": "t" }), json!({ "tag": "u" }), false),
            (json!({ "place": { "city": "d" } }), json!({ "place": { "street": "t" } }), true),
            (json!({ "place": { "city": "d" } }), json!({ "place": { "city": "e" } }), false),
            (json!({ "place": { "city": "d" } }), json!({ "place": null }), false),
            (json!({ "place": null }), json!({ "place": { "street": "t" } }), false),
            (json!({ "list": [1] }), json!({ "list": [1, 2, 3] }), false),
            (json!({ "list": [1] }), json!({ "text": "c" }), true),
            (json!({}), json!({ "text": "c" }), true),
        ];
        for (patch, theirs, merges) in cases {
            let mut current = base.clone();
            json_patch::merge(&mut current, &theirs);
            let ours = edit(patch.clone()).expect("well formed");
            assert_eq!(ours.is_untouched(&base, &current).expect("JSON"), merges, "{patch} after {theirs}");
        }
    }
}
