//! The error model, row by row: what goes wrong, and the exact status, code and retry advice.

use std::{collections::BTreeMap, time::Duration};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tests::{
    case::{Request, Response},
    server::{Server, demo_database, serve},
};
use tokio::net::TcpListener;

/// Short limits, so that a row takes no longer than it must.
const FAST: [(&str, &str); 2] = [("STORE_TIMEOUT_MS", "400"), ("STORE_ATTEMPT_TIMEOUT_MS", "150")];

struct Row {
    name: &'static str,
    request: Request,
    status: u16,
    code: &'static str,
    retry_after: Option<u64>,
}

fn request(method: &str, target: &str, user: Option<&str>) -> Request {
    Request {
        method: method.into(),
        target: target.into(),
        user: user.map(Into::into),
        headers: BTreeMap::new(),
        body: None,
    }
}

fn row(name: &'static str, request: Request, status: u16, code: &'static str) -> Row {
    Row { name, request, status, code, retry_after: None }
}

fn with_header(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.insert(name.into(), value.into());
    request
}

fn with_body(mut request: Request, body: impl Into<Value>) -> Request {
    request.body = Some(body.into());
    request
}

/// Checks everything that the model promises of an answer.
fn check(row: &Row, answer: &Response) {
    let name = row.name;
    assert_eq!(answer.status, row.status, "{name}: {answer:?}");
    assert_eq!(answer.body["code"], row.code, "{name}: {answer:?}");
    assert_eq!(answer.body["retryable"], row.retry_after.is_some(), "{name}");
    assert_eq!(answer.body["retryAfter"].as_u64(), row.retry_after, "{name}");
    assert_eq!(answer.headers.get("retry-after"), row.retry_after.map(|s| s.to_string()).as_ref(), "{name}");
    assert_eq!(answer.body["requestId"], answer.headers["x-request-id"], "{name}");
    assert!(answer.body["message"].as_str().is_some_and(|message| message.ends_with('.') || message.contains(": ")));
    assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
    let v1 = row.request.target.starts_with("/api/v1");
    let media_type = if v1 { "application/json" } else { "application/problem+json" };
    assert_eq!(answer.headers["content-type"], media_type, "{name}");
    for member in ["type", "title", "status", "detail", "instance"] {
        assert_eq!(answer.body.get(member).is_none(), v1, "{name}: {member}");
    }
    if !v1 {
        assert_eq!(answer.body["status"], row.status, "{name}");
        assert_eq!(answer.body["detail"], answer.body["message"], "{name}");
    }
    let allowed = ["code", "message", "retryable", "retryAfter", "details", "requestId"];
    let problem = ["type", "title", "status", "detail", "instance"];
    for member in answer.body.as_object().expect("an object").keys() {
        assert!(allowed.contains(&member.as_str()) || problem.contains(&member.as_str()), "{name}: {member}");
    }
}

async fn panics() {
    panic!("a bug with a secret in its text");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_gets_wrong() {
    let database = demo_database().await;
    let broken = Router::new().route("/api/v1/panic", get(panics)).route("/api/v2/panic", get(panics));
    let server = Server::with(&database.endpoint(), FAST, broken).await;
    let me = Some("user-123");
    for api in ["/api/v1", "/api/v2"] {
        let at = |path: &str| format!("{api}{path}");
        let orders = at("/orders");
        let post = || request("POST", &orders, me);
        let expired = json!({ "sub": "user-123", "iss": "https://id.example.com/", "aud": "mobile-bff", "exp": 1000 });
        let expired = format!("Bearer {}", dev::token::sign(&expired));
        let internal =
            Row { retry_after: Some(5), ..row("panic", request("GET", &at("/panic"), None), 500, "INTERNAL") };
        let rows = [
            row("unknown route", request("GET", &at("/nothing"), None), 404, "NOT_FOUND"),
            row("bad method", request("DELETE", &orders, me), 405, "METHOD_NOT_ALLOWED"),
            row("bad JSON", with_body(post(), "{\"items\":"), 400, "VALIDATION_ERROR"),
            row("wrong type", with_body(post(), json!({ "items": 1 })), 400, "VALIDATION_ERROR"),
            row("unknown field", with_body(post(), json!({ "items": [], "gift": true })), 400, "VALIDATION_ERROR"),
            row(
                "wrong content type",
                with_header(with_body(post(), "a=b"), "content-type", "application/x-www-form-urlencoded"),
                415,
                "UNSUPPORTED_MEDIA_TYPE",
            ),
            row("no content type", request("POST", &orders, me), 415, "UNSUPPORTED_MEDIA_TYPE"),
            row("body too large", with_body(post(), "x".repeat(70_000)), 413, "PAYLOAD_TOO_LARGE"),
            row("missing token", request("GET", &orders, None), 401, "UNAUTHENTICATED"),
            row(
                "bad token",
                with_header(request("GET", &orders, None), "authorization", "Bearer x.y.z"),
                401,
                "UNAUTHENTICATED",
            ),
            row(
                "expired token",
                with_header(request("GET", &orders, None), "authorization", &expired),
                401,
                "TOKEN_EXPIRED",
            ),
            row("foreign order", request("GET", &at("/orders/o-7-01"), me), 404, "NOT_FOUND"),
            row("foreign user in detail", request("GET", &at("/users/user-7?level=full"), me), 403, "FORBIDDEN"),
            row("illegal id", request("GET", &at("/products/a.b"), None), 400, "VALIDATION_ERROR"),
            row("illegal cursor", request("GET", &at("/products?cursor=x"), None), 400, "INVALID_CURSOR"),
            row(
                "long target",
                request("GET", &at(&format!("/products?category={}", "x".repeat(9000))), None),
                414,
                "URI_TOO_LONG",
            ),
            row(
                "large headers",
                with_header(request("GET", &at("/products"), None), "x-padding", &"x".repeat(17_000)),
                431,
                "HEADERS_TOO_LARGE",
            ),
            row(
                "write without a version",
                with_body(request("PUT", &at("/orders/o-1"), me), json!({ "items": [] })),
                428,
                "PRECONDITION_REQUIRED",
            ),
            row(
                "stale version",
                with_body(
                    request("PUT", &at("/orders/o-123-01"), me),
                    json!({ "version": 9, "items": [{ "productId": "p-0001", "quantity": 1 }] }),
                ),
                409,
                "CONFLICT",
            ),
            row(
                "stale tag",
                with_header(request("DELETE", &at("/orders/o-123-01"), me), "if-match", "\"9\""),
                412,
                "PRECONDITION_FAILED",
            ),
            internal,
        ];
        for row in rows {
            let answer = server.send(&row.request).await;
            check(&row, &answer);
            assert!(!answer.body.to_string().contains("secret"), "{}", row.name);
        }
        let method = server.send(&request("DELETE", &orders, me)).await;
        assert_eq!(method.headers["allow"], "GET,HEAD,POST");
        let media = server.send(&request("POST", &orders, me)).await;
        assert_eq!(media.headers["accept-post"], "application/json");
        let token = server.send(&request("GET", &orders, None)).await;
        assert_eq!(token.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(server.get("/health", None).await.status, 200, "the process lives on");
}

/// What the client can do to a request by asking for codings that there are not.
#[tokio::test(flavor = "multi_thread")]
async fn codings_that_do_not_fit() {
    let database = demo_database().await;
    let server = Server::with(&database.endpoint(), FAST, Router::new()).await;
    for api in ["/api/v1", "/api/v2"] {
        let refusing = with_header(request("GET", &format!("{api}/products"), None), "accept-encoding", "identity;q=0");
        let row = row("nothing acceptable", refusing, 406, "NOT_ACCEPTABLE");
        check(&row, &server.send(&row.request).await);
        let write = with_body(request("POST", &format!("{api}/orders"), Some("user-123")), json!({ "items": [] }));
        let write = with_header(write, "content-encoding", "br");
        let row = Row { name: "a coding that is not read", request: write, ..row };
        let row = Row { status: 415, code: "UNSUPPORTED_MEDIA_TYPE", ..row };
        let answer = server.send(&row.request).await;
        check(&row, &answer);
        assert_eq!(answer.headers["accept-encoding"], "gzip");
    }
}

/// What the store can do to a request: not be there, be slow, or push back.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_gets_wrong() {
    let nowhere = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let cases = [
        ("down", format!("http://{nowhere}"), 502, "BACKEND_ERROR", 30),
        ("slow", format!("http://{}", silent.local_addr().unwrap()), 504, "TIMEOUT", 5),
        ("throttling", refusing("ThrottlingException").await, 503, "UNAVAILABLE", 2),
        ("over its throughput", refusing("ProvisionedThroughputExceededException").await, 503, "UNAVAILABLE", 2),
        ("broken", refusing("InternalServerError").await, 502, "BACKEND_ERROR", 30),
        ("missing a table", refusing("ResourceNotFoundException").await, 500, "INTERNAL", 5),
    ];
    for (fault, endpoint, status, code, retry_after) in cases {
        let server = Server::with(&endpoint, FAST, Router::new()).await;
        for target in ["/api/v1/users/user-123", "/api/v2/orders", "/api/v2/products", "/api/v1/products/p-0001"] {
            let request = request("GET", target, Some("user-123"));
            let row = Row { name: fault, request, status, code, retry_after: Some(retry_after) };
            let answer = server.send(&row.request).await;
            check(&row, &answer);
            let body = answer.body.to_string().to_lowercase();
            assert!(!body.contains("dynamodb") && !body.contains("127.0.0.1"), "{fault}: {body}");
        }
        let item = json!({ "items": [{ "productId": "p-0001", "quantity": 1 }] });
        let request = with_body(request("POST", "/api/v2/orders", Some("user-123")), item);
        let row = Row { name: fault, request, status, code, retry_after: Some(retry_after) };
        check(&row, &server.send(&row.request).await);
        assert_eq!(server.get("/health", None).await.status, 200);
    }
}

/// The request's own limit ends it even where the store's is longer.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_request_has_a_deadline() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let limits = [("REQUEST_TIMEOUT_MS", "200"), ("STORE_TIMEOUT_MS", "60000"), ("STORE_ATTEMPT_TIMEOUT_MS", "60000")];
    let server = Server::with(&endpoint, limits, Router::new()).await;
    let answer = tokio::time::timeout(Duration::from_secs(5), server.get("/api/v2/products", None)).await.unwrap();
    let request = request("GET", "/api/v2/products", None);
    check(&Row { name: "deadline", request, status: 504, code: "TIMEOUT", retry_after: Some(5) }, &answer);
}

/// A store that answers every request with one error of the DynamoDB protocol.
async fn refusing(kind: &'static str) -> String {
    let status = if kind == "InternalServerError" { 500 } else { 400 };
    let answer = move || async move {
        let body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "no" });
        let status = http::StatusCode::from_u16(status).unwrap();
        (status, [("content-type", "application/x-amz-json-1.0")], body.to_string())
    };
    serve(Router::new().fallback(answer)).await
}
