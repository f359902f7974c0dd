//! What bodies look like.

use orders::{OrderDraft, OrderV1, OrderV2};
use products::{ProductV1, ProductV2};
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Map, Value, json};
use shared::{
    Code,
    http::batch::Batch,
    slim::{Field, Level, Slim},
};
use users::{Editable, UserV1, UserV2};

/// All named schemas.
pub(crate) fn all() -> Value {
    let order = |version: &str| reference(&format!("Order{version}"));
    json!({
        "UserV1": view::<UserV1<'static>>(),
        "UserV2": view::<UserV2<'static>>(),
        "ProductV1": view::<ProductV1<'static>>(),
        "ProductV2": view::<ProductV2<'static>>(),
        "OrderV1": view::<OrderV1<'static>>(),
        "OrderV2": view::<OrderV2<'static>>(),
        "ProductPageV1": page(&reference("ProductV1")),
        "ProductPageV2": page(&reference("ProductV2")),
        "OrderPageV1": page(&order("V1")),
        "OrderPageV2": page(&order("V2")),
        "Tombstone": tombstone(),
        "OrderDeltaV1": delta(&order("V1"), false),
        "OrderDeltaV2": delta(&order("V2"), true),
        "ProductDeltaV2": delta(&reference("ProductV2"), true),
        "OrderDraft": input::<OrderDraft>(),
        "OrderWrite": with_base(input::<OrderDraft>()),
        "OrderPatch": with_base(patch(input::<OrderDraft>())),
        "UserPatch": with_base(patch(input::<Editable>())),
        "OrderDelete": object(&[("version", json!({ "type": "integer", "minimum": 0 })), ("id", json!({ "type": "string" }))], &[]),
        "OpenApi": { "type": "object" },
        "OrderBatch": input::<Batch>(),
        "OrderBatchResultsV1": results(&order("V1"), "V1"),
        "OrderBatchResultsV2": results(&order("V2"), "V2"),
        "Home": home(),
        "Health": object(&[("status", json!({ "const": "ok" }))], &["status"]),
        "ErrorSummary": summary(),
        "ErrorV1": error(false),
        "ErrorV2": error(true),
    })
}

pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn object(members: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        members.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>()
}

/// What a client sends, as serde reads it.
fn input<T: JsonSchema>() -> Value {
    let mut schema = schema::<T>();
    schema.remove("title");
    schema.to_value()
}

/// What a client gets: each member with the level from which on it is there. An empty one is left out, never null.
fn view<T: JsonSchema + Slim>() -> Value {
    let mut schema = schema::<T>();
    schema.remove("title");
    for_reading(&mut schema);
    let mut schema = schema.to_value();
    mark_levels(&mut schema, T::FIELDS);
    schema
}

/// An empty member is left out, never null; and a later version of the service may have more members.
fn for_reading(schema: &mut Schema) {
    schema.remove("additionalProperties");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = &choices[..] {
            let only = only.clone();
            schema.remove("anyOf");
            // The member's own description stays.
            for (name, value) in only {
                if schema.get(&name).is_none() {
                    schema.insert(name, value);
                }
            }
        }
    }
    transform_subschemas(&mut for_reading, schema);
}

/// Only what is there at every level is required.
fn mark_levels(schema: &mut Value, fields: &[Field]) {
    let inner = if schema["type"] == "array" { &mut schema["items"] } else { schema };
    for field in fields {
        let member = &mut inner["properties"][field.name()];
        if field.level() > Level::Minimal {
            member["x-level"] = json!(field.level().as_str());
        }
        if let Some(fields) = field.fields() {
            mark_levels(member, fields);
        }
    }
    let always = |name: &Value| fields.iter().any(|field| name == field.name() && field.level() == Level::Minimal);
    if let Some(Value::Array(required)) = inner.get_mut("required") {
        required.retain(always);
    }
}

/// A merge patch (RFC 7396): every member may be missing, also inside of objects, and null takes an optional one away.
fn patch(mut whole: Value) -> Value {
    if let Some(object) = whole.as_object_mut() {
        object.remove("required");
        if let Some(Value::Object(members)) = object.get_mut("properties") {
            members.values_mut().for_each(|member| *member = patch(member.take()));
        }
    }
    whole
}

/// With the version that the write is based on, for clients that do not send `If-Match`.
fn with_base(mut schema: Value) -> Value {
    schema["properties"]["version"] = json!({ "type": "integer", "minimum": 0, "description": "The version that the write is based on; 0 to create." });
    schema["properties"]["id"] = json!({ "type": "string", "description": "May repeat the path's." });
    schema
}

fn page(item: &Value) -> Value {
    let cursor = json!({ "type": "string", "description": "Continues the list; missing on the last page." });
    object(&[("items", json!({ "type": "array", "items": item })), ("nextCursor", cursor)], &["items"])
}

fn tombstone() -> Value {
    let members = [
        ("id", json!({ "type": "string" })),
        ("version", json!({ "type": "integer", "minimum": 0 })),
        ("deleted", json!({ "const": true })),
        ("reason", json!({ "type": "string" })),
    ];
    object(&members, &["id", "version", "deleted"])
}

fn delta(item: &Value, says_full: bool) -> Value {
    let item = json!({ "anyOf": [reference("Tombstone"), { "allOf": [item], "required": ["id", "version"] }] });
    let mut members = vec![
        ("items", json!({ "type": "array", "items": item })),
        (
            "syncToken",
            json!({ "type": "string", "description": "Opaque: store it with the items, send it as `since`." }),
        ),
        ("hasMore", json!({ "type": "boolean" })),
    ];
    let mut required = vec!["items", "syncToken", "hasMore"];
    if says_full {
        members.push((
            "fullSync",
            json!({ "type": "boolean", "description": "Whether items that did not come are gone." }),
        ));
        required.push("fullSync");
    }
    object(&members, &required)
}

fn results(item: &Value, version: &str) -> Value {
    let result = object(
        &[
            ("mutationId", json!({ "type": "string" })),
            ("id", json!({ "type": "string" })),
            ("status", json!({ "type": "integer", "description": "As of the write alone." })),
            ("item", json!({ "anyOf": [reference("Tombstone"), item] })),
            ("error", reference("ErrorSummary")),
        ],
        &["id", "status"],
    );
    let members = [
        ("results", json!({ "type": "array", "items": result })),
        ("delta", reference(&format!("OrderDelta{version}"))),
        ("deltaError", reference("ErrorSummary")),
    ];
    object(&members, &["results"])
}

fn home() -> Value {
    let nullable = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let list = |name: &str| nullable(json!({ "type": "array", "items": reference(name) }));
    let failure = object(
        &[("code", codes()), ("retryable", json!({ "type": "boolean" })), ("retryAfter", json!({ "type": "integer" }))],
        &["code", "retryable"],
    );
    let members = [
        ("profile", nullable(reference("UserV2"))),
        ("recentOrders", list("OrderV2")),
        ("featuredProducts", list("ProductV2")),
        ("complete", json!({ "type": "boolean", "description": "Whether all parts are there." })),
        (
            "errors",
            json!({ "type": "object", "description": "The parts that are null, and why.", "additionalProperties": failure }),
        ),
    ];
    object(&members, &["profile", "recentOrders", "featuredProducts", "complete"])
}

fn codes() -> Value {
    let names: Vec<_> = Code::ALL.iter().map(|code| code.facts().name).collect();
    json!({ "type": "string", "enum": names })
}

fn summary_members() -> Vec<(&'static str, Value)> {
    vec![
        ("code", codes()),
        ("message", json!({ "type": "string", "description": "For developers, in English." })),
        ("retryable", json!({ "type": "boolean", "description": "Whether the same request can succeed later." })),
        ("retryAfter", json!({ "type": "integer", "description": "Seconds to wait before that." })),
        ("details", json!({ "type": "object", "description": "What belongs to the code, such as the server's copy." })),
    ]
}

fn summary() -> Value {
    object(&summary_members(), &["code", "message", "retryable"])
}

fn error(is_problem: bool) -> Value {
    let mut members = summary_members();
    let mut required = vec!["code", "message", "retryable", "requestId"];
    members.push(("requestId", json!({ "type": "string" })));
    if is_problem {
        // RFC 9457.
        members.extend([
            ("type", json!({ "type": "string", "format": "uri-reference" })),
            ("title", json!({ "type": "string" })),
            ("status", json!({ "type": "integer" })),
            ("detail", json!({ "type": "string" })),
            ("instance", json!({ "type": "string", "format": "uri-reference" })),
        ]);
        required.extend(["type", "title", "status", "detail", "instance"]);
    }
    object(&members, &required)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_says_from_which_level_on_a_member_is_there() {
        let order = view::<OrderV2<'static>>();
        assert_eq!(order["required"], json!(["id", "version", "status"]));
        assert_eq!(order["properties"]["note"]["x-level"], "detail");
        assert_eq!(order["properties"]["note"]["type"], "string", "never null");
        assert_eq!(order["properties"]["items"]["items"]["properties"]["unitPrice"]["x-level"], "full");
        assert_eq!(order["properties"]["items"]["items"]["required"], json!(["productId", "quantity"]));
        assert_eq!(order["properties"]["shippingAddress"]["type"], "object");
    }

    #[test]
    fn what_a_client_writes_is_what_serde_reads() {
        let draft = input::<OrderDraft>();
        assert_eq!((&draft["required"], &draft["additionalProperties"]), (&json!(["items"]), &json!(false)));
        assert_eq!(draft["properties"]["items"]["items"]["required"], json!(["productId", "quantity"]));
    }
}
