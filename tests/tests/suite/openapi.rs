//! docs/openapi.json against the code, and against every golden case: what is written down is what is served.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};
use tests::{
    case::{Case, Request, Response, files},
    server::{Server, demo_database},
};

use crate::house::{groups, root};

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let committed = include_str!("../../../docs/openapi.json");
    assert!(committed == openapi::text(), "run `cargo run -p openapi > docs/openapi.json`");
}

/// The golden cases of all route groups.
fn cases() -> impl Iterator<Item = (PathBuf, Case)> {
    let folders = groups().into_iter().map(|group| root().join("functions").join(group).join("tests/cases"));
    folders.flat_map(|folder| files(&folder)).map(|file| (file.clone(), Case::read(&file)))
}

#[test]
fn every_golden_case_is_as_described() {
    let document = openapi::document();
    let (mut problems, mut seen) = (Vec::new(), BTreeSet::new());
    for (file, case) in cases() {
        if let Err(problem) = check(&document, &case, &mut seen) {
            problems.push(format!("{}: {problem}", file.display()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let described = operations(&document).map(|(_, _, operation)| operation["operationId"].clone().to_string());
    let unseen: Vec<_> = described.filter(|id| !seen.contains(id)).collect();
    assert!(unseen.is_empty(), "no golden case succeeds with {unseen:?}");
}

#[test]
fn entity_tags_are_described_where_they_come() {
    let document = openapi::document();
    let name = |operation: &Value| operation["operationId"].as_str().map(str::to_owned);
    let answered = |is_it: fn(&Response) -> bool| -> BTreeSet<_> {
        let cases = cases().filter(|(_, case)| case.response.as_ref().is_some_and(is_it));
        cases.filter_map(|(_, case)| name(find(&document, &case.request)?)).collect()
    };
    let described = |is_it: fn(&str, &Value) -> bool| -> BTreeSet<_> {
        let operations = operations(&document).filter(|(_, _, operation)| {
            let answers = operation["responses"].as_object().expect("answers");
            answers.iter().any(|(status, answer)| is_it(status, answer))
        });
        operations.filter_map(|(_, _, operation)| name(operation)).collect()
    };
    assert_eq!(
        answered(|response| response.status < 400 && response.headers.contains_key("etag")),
        described(|_, answer| !answer["headers"]["ETag"].is_null())
    );
    assert_eq!(answered(|response| response.status == 304), described(|status, _| status == "304"));
}

/// The checks above can fail.
#[test]
fn what_is_not_as_described_is_noticed() {
    let check = |status: u16, target: &str, body: Value| {
        let case = json!({
            "request": { "method": "GET", "target": target },
            "response": { "status": status, "headers": { "content-type": "application/json" }, "body": body },
        });
        let case = serde_json::from_value(case).expect("a case");
        check(&openapi::document(), &case, &mut BTreeSet::new()).is_ok()
    };
    assert!(check(200, "/health", json!({ "status": "ok" })));
    assert!(!check(200, "/health", json!({ "status": "fine" })));
    assert!(!check(200, "/healthy", json!({ "status": "ok" })), "a path that is not described");
    assert!(!check(202, "/health", json!({ "status": "ok" })), "a status that is not described");
    assert!(!check(
        200,
        "/api/v2/orders/delta",
        json!({ "items": [{}], "syncToken": "", "hasMore": false, "fullSync": false })
    ));
    assert!(!check(200, "/api/v2/products/p-1", json!({ "id": "p-1" })), "a member of level minimal is missing");
    assert!(check(200, "/api/v2/products/p-1?fields=id", json!({ "id": "p-1" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_serves_it() {
    let database = demo_database().await;
    let answer = Server::on(&database.endpoint()).await.get("/openapi.json", None).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == openapi::document(), "another document is served");
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn check(document: &Value, case: &Case, seen: &mut BTreeSet<String>) -> Result<(), String> {
    let response = case.response.as_ref().ok_or("there is no answer")?;
    let (path, query) = case.request.path_and_query();
    let Some(operation) = find(document, &case.request) else {
        return match response.status {
            404 | 405 => validate(document, &json!({ "$ref": error_schema(path) }), &response.body, false),
            // Some golden cases ask for what cannot even be a path.
            400.. => Ok(()),
            status => Err(format!("{} {path} is not described, and is answered with {status}", case.request.method)),
        };
    };
    let narrowed = query.contains("fields=");
    let described = &operation["responses"][response.status.to_string()];
    if response.status >= 400 {
        let reference = operation["responses"]["default"]["$ref"].as_str().ok_or("no default answer")?;
        let content = document.pointer(&reference[1..]).ok_or("a reference to nothing")?["content"].as_object();
        let (media, error) = content.and_then(|content| content.iter().next()).ok_or("errors have no content")?;
        let given = response.headers.get("content-type").map_or("", String::as_str);
        if response.body.is_null() && case.request.method == "HEAD" {
            return Ok(());
        }
        return if given == media {
            validate(document, &error["schema"], &response.body, false)
        } else {
            Err(format!("the error is {given}, not {media}"))
        };
    }
    if described.is_null() {
        return Err(format!("{} of {} is not described", response.status, operation["operationId"]));
    }
    seen.insert(operation["operationId"].to_string());
    let body_schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(body) = case.request.body.as_ref().filter(|body| body.is_object()) {
        validate(document, body_schema, body, false).map_err(|why| format!("the request: {why}"))?;
    }
    let schema = &described["content"]["application/json"]["schema"];
    if schema.is_null() || response.body.is_null() {
        return Ok(());
    }
    validate(document, schema, &response.body, narrowed)
}

fn error_schema(path: &str) -> &'static str {
    if path.starts_with("/api/v1/") { "#/components/schemas/ErrorV1" } else { "#/components/schemas/ErrorV2" }
}

/// The operation of a path; one without parameters goes before one with.
fn find<'a>(document: &'a Value, request: &Request) -> Option<&'a Value> {
    let (path, _) = request.path_and_query();
    // HEAD is GET without a body.
    let method = request.method.to_lowercase().replace("head", "get");
    let matches = |template: &str| {
        let (start, rest) = template.split_once('{').unwrap_or((template, ""));
        let Some(value) = path.strip_prefix(start) else { return false };
        match rest {
            "" => value.is_empty(),
            "key}" => !value.is_empty(),
            _ => !value.is_empty() && !value.contains('/'),
        }
    };
    let mut found: Vec<_> =
        operations(document).filter(|(template, of, _)| *of == method && matches(template)).collect();
    found.sort_by_key(|(template, _, _)| template.contains('{'));
    found.first().map(|(_, _, operation)| *operation)
}

/// With `narrowed`, a view need not have all that its level has.
fn validate(document: &Value, schema: &Value, body: &Value, narrowed: bool) -> Result<(), String> {
    let mut root = schema.clone();
    root["components"] = document["components"].clone();
    if narrowed {
        forget_required(&mut root["components"]["schemas"]);
    }
    let validator = jsonschema::draft202012::new(&root).map_err(|why| why.to_string())?;
    let errors: Vec<_> = validator.iter_errors(body).map(|why| format!("{} at {}", why, why.instance_path())).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

fn forget_required(schemas: &mut Value) {
    for view in ["UserV2", "ProductV2", "OrderV2"] {
        let mut open = vec![&mut schemas[view]];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(object) => {
                    object.remove("required");
                    open.extend(object.values_mut());
                }
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
    }
}
