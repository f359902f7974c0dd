//! The description of the API in OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.0>), from which clients are generated.
//!
//! Schemas come from the types that the service itself reads and writes. The operations are listed here; the tests hold
//! every golden case against them.

mod operations;
mod schemas;

use serde_json::{Map, Value, json};
use shared::Code;

/// The whole document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mobile BFF",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "A backend for mobile apps: small answers, delta sync, errors that say whether to retry.",
        },
        "servers": [{ "url": "/" }],
        "security": [],
        "paths": operations::paths(),
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "parameters": operations::parameters(),
            "headers": operations::headers(),
            "responses": errors(),
            "schemas": schemas::all(),
        },
    })
}

/// The document as it is committed and served.
///
/// # Panics
/// Never: what [`document`] makes is JSON.
pub fn text() -> String {
    serde_json::to_string_pretty(&document()).expect("JSON") + "\n"
}

/// One answer for all failures of a version: which of them a route has is a matter of status and code.
fn errors() -> Value {
    let mut statuses: Map<String, Value> = Map::new();
    for code in Code::ALL {
        let facts = code.facts();
        let names = statuses.entry(facts.status.as_str()).or_insert_with(|| json!([]));
        names.as_array_mut().into_iter().for_each(|names| names.push(json!(facts.name)));
    }
    let error = |media: &str, schema: &str| {
        json!({
            "description": "A failure. `code` says what went wrong, `retryable` and `retryAfter` whether and when to try again.",
            "headers": {
                "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" },
                "Retry-After": { "$ref": "#/components/headers/Retry-After" },
            },
            "content": { media: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
            "x-codes": statuses,
        })
    };
    json!({ "ErrorV1": error("application/json", "ErrorV1"), "ErrorV2": error("application/problem+json", "ErrorV2") })
}
