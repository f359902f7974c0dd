//! The OWASP API Security Top 10 of 2023, as far as a request can try it. What is tested elsewhere is named where it is.
//!
//! | risk | here |
//! | --- | --- |
//! | API1, object-level authorisation | what is another user's is as if it were not there, on every route of orders |
//! | API2, authentication | `auth`, `secrets` |
//! | API3, object property level | no field that is the server's can be written; none above a caller's level is read |
//! | API4, resource consumption | limits of every number and size; also `limit`, `coding` |
//! | API5, function level | no method but those documented |
//! | API6, business flows | `limit`; keys of idempotency in the golden cases |
//! | API7, server-side request forgery | no value of a request is fetched |
//! | API8, misconfiguration | security headers on every answer; nothing about the server; nothing from outside in a header |
//! | API9, inventory | `versions`; there are no routes but those documented |
//! | API10, use of other APIs | `secrets`, `auth`: what an identity provider or the store gets wrong |

use serde_json::{Value, json};
use tests::{
    case::{Request, Response},
    server::{Server, demo_database},
};

use crate::lure::Lure;

const OWNER: &str = "user-7";
const OTHER: &str = "user-123";

fn request(method: &str, target: &str, user: Option<&str>, body: Option<Value>) -> Request {
    let (method, target) = (method.to_owned(), target.to_owned());
    Request { method, target, user: user.map(Into::into), headers: [].into(), body }
}

fn code(answer: &Response) -> (u16, &str) {
    (answer.status, answer.body["code"].as_str().unwrap_or("none"))
}

/// API1: by address, by cursor, by sync token, by key.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_users_is_not_there() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let items = json!([{ "productId": "p-0001", "quantity": 1 }]);
    for (api, id) in [("/api/v1", "o-7-02"), ("/api/v2", "o-7-03")] {
        let theirs = format!("{api}/orders/{id}");
        let before = server.get(&format!("{theirs}?level=full"), Some(OWNER)).await.body;
        let tries = [
            request("GET", &theirs, Some(OTHER), None),
            request("GET", &format!("{theirs}?level=full"), Some(OTHER), None),
            request("HEAD", &theirs, Some(OTHER), None),
            request("PATCH", &theirs, Some(OTHER), Some(json!({ "version": 1, "note": "mine" }))),
        ];
        for attempt in &tries {
            assert_eq!(server.send(attempt).await.status, 404, "{} {theirs}", attempt.method);
        }
        // A deletion of nothing succeeds, and a write makes an order of the caller's own under the same id.
        assert_eq!(server.send(&request("DELETE", &theirs, Some(OTHER), None)).await.body["version"], 0);
        let put = request("PUT", &theirs, Some(OTHER), Some(json!({ "version": 0, "items": items })));
        let own = server.send(&put).await;
        assert!([200, 201].contains(&own.status), "{own:?}");
        assert_eq!(server.get(&format!("{theirs}?level=full"), Some(OWNER)).await.body, before, "untouched");

        // A cursor is a position, not a right.
        let page = server.get(&format!("{api}/orders?limit=2"), Some(OWNER)).await.body;
        let cursor = page["nextCursor"].as_str().unwrap();
        let foreign = server.get(&format!("{api}/orders?limit=100&cursor={cursor}"), Some(OTHER)).await;
        let ids =
            foreign.body["items"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned());
        let ids: Vec<String> =
            ids.filter(|id| id.starts_with("o-7-") && !["o-7-02", "o-7-03"].contains(&id.as_str())).collect();
        assert_eq!(ids, Vec::<String>::new());

        // A sync token is the one caller's.
        let sync = server.get(&format!("{api}/orders/delta?limit=500"), Some(OWNER)).await.body;
        let token = sync["syncToken"].as_str().unwrap();
        let stolen = server.get(&format!("{api}/orders/delta?since={token}"), Some(OTHER)).await;
        assert_eq!(code(&stolen), (400, "INVALID_SYNC_TOKEN"));

        // A key of one caller says nothing about another's.
        let mut first = request("POST", &format!("{api}/orders"), Some(OWNER), Some(json!({ "items": items })));
        first.headers.insert("idempotency-key".into(), format!("shared-{}", api.len()));
        let mut second = first.clone();
        second.user = Some(OTHER.into());
        let (first, second) = (server.send(&first).await, server.send(&second).await);
        assert_eq!((first.status, second.status), (201, 201));
        assert_ne!(first.body["id"], second.body["id"]);
    }
}

/// API3: mass assignment, and fields above a caller's level.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_servers_cannot_be_written() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let line = json!({ "productId": "p-0001", "quantity": 1 });
    for field in
        ["status", "total", "createdAt", "updatedAt", "userId", "owner", "currency", "price", "__proto__", "pk"]
    {
        let body = json!({ "items": [line], field: "x" });
        let answer = server.send(&request("POST", "/api/v2/orders", Some(OTHER), Some(body))).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "order.{field}");
        let mut priced = line.clone();
        priced[field] = json!(1);
        let answer =
            server.send(&request("POST", "/api/v2/orders", Some(OTHER), Some(json!({ "items": [priced] })))).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "line.{field}");
    }
    for field in ["email", "username", "plan", "metadata", "address", "dateOfBirth", "avatar", "role", "isAdmin"] {
        let body = json!({ "version": 1, field: "x" });
        let answer = server.send(&request("PATCH", "/api/v2/users/me", Some(OTHER), Some(body))).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "user.{field}");
    }
    for query in ["level=detail", "level=full", "fields=email", "fields=id,preferences.language", "fields=metadata"] {
        let answer = server.get(&format!("/api/v2/users/{OWNER}?{query}"), Some(OTHER)).await;
        assert_eq!(code(&answer), (403, "FORBIDDEN"), "{query}");
    }
    let shown = server.get(&format!("/api/v2/users/{OWNER}"), Some(OTHER)).await.body;
    assert_eq!(shown.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name"]);
}

/// API4 and API5: numbers out of range, and methods that there are not.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_limits_and_methods_are_listed() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    for limit in ["0", "-1", "101", "1000000000", "99999999999999999999", "1e3", "0x10", "%00"] {
        for list in ["/api/v2/products", "/api/v2/orders", "/api/v1/products", "/api/v1/orders"] {
            let answer = server.get(&format!("{list}?limit={limit}"), Some(OTHER)).await;
            assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{list} {limit}");
        }
    }
    let fields = vec!["id"; 65].join(",");
    assert_eq!(server.get(&format!("/api/v2/users/me?fields={fields}"), Some(OTHER)).await.status, 400);
    for quantity in [json!(0), json!(-1), json!(1000), json!(1e18), json!(1.5), json!("1"), json!(u64::MAX)] {
        let body = json!({ "items": [{ "productId": "p-0001", "quantity": quantity }] });
        let answer = server.send(&request("POST", "/api/v2/orders", Some(OTHER), Some(body))).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{quantity}");
    }
    for (target, methods) in [
        ("/api/v2/products", &["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"][..]),
        ("/api/v2/users/me", &["POST", "PUT", "DELETE", "TRACE"]),
        ("/api/v2/users/user-7", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/api/v2/orders", &["PUT", "PATCH", "DELETE", "TRACE"]),
        ("/api/v2/home", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/health", &["POST", "DELETE", "TRACE"]),
    ] {
        for method in methods {
            let answer = server.send(&request(method, target, Some(OTHER), None)).await;
            assert_eq!(code(&answer), (405, "METHOD_NOT_ALLOWED"), "{method} {target}");
            assert!(!answer.headers["allow"].contains(method), "{method} {target}");
        }
    }
    for target in ["/", "/api", "/api/v3/users/me", "/admin", "/metrics", "/.env", "/api/v2/users", "/api/v2/../admin"]
    {
        assert_eq!(server.get(target, Some(OTHER)).await.status, 404, "{target}");
    }
}

/// API7 and API8: nothing is fetched, nothing is told, nothing gets into a header.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_from_outside_leaves_its_place() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let trap = Lure::lay().await;
    let lure = &trap.url;
    let note = json!({ "items": [{ "productId": "p-0001", "quantity": 1 }], "note": lure });
    let targets = [
        request("POST", "/api/v2/orders", Some(OTHER), Some(note)),
        request("GET", &format!("/api/v2/products?category={lure}&cursor=&url={lure}"), None, None),
        request("GET", &format!("/api/v2/products/{}", lure.replace([':', '/'], "_")), None, None),
        request("GET", "/api/v1/products/%0d%0aset-cookie:%20a=b", None, None),
        request("GET", "/api/v1/orders/%0d%0ax-injected:%201?level=full%0d%0ax: y", Some(OTHER), None),
        request("GET", "/health", None, None),
        request("GET", "/nothing", None, None),
    ];
    for mut request in targets {
        request.target = request.target.replace(' ', "%20");
        for name in ["x-forwarded-host", "x-original-url", "x-rewrite-url", "origin", "referer"] {
            request.headers.insert(name.into(), lure.clone());
        }
        let answer = server.send(&request).await;
        let target = &request.target;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("strict-transport-security", "max-age=63072000; includeSubDomains"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers[name], value, "{target}");
        }
        for name in ["server", "x-powered-by", "set-cookie", "x-injected", "access-control-allow-origin"] {
            assert!(!answer.headers.contains_key(name), "{target}: {name}");
        }
        let told = format!("{:?}", answer.headers);
        assert!(!told.contains(lure), "{target}: {told}");
    }
    assert_eq!(trap.bites().await, 0, "no value of a request is fetched");
}
