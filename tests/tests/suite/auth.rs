//! Tokens: which are accepted, which are refused, and with what answer.

use axum::Router;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use tests::{
    case::{Request, Response},
    server::{Server, demo_database},
};

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// Good claims, with some changed; null removes one.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "sub": "user-123", "iss": "https://id.example.com/", "aud": "mobile-bff", "exp": now() + 600,
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

async fn with_header(server: &Server, authorization: &str) -> Response {
    let headers = [("authorization".to_owned(), authorization.to_owned())].into();
    let target = "/api/v2/users/me?level=minimal".to_owned();
    server.send(&Request { method: "GET".into(), target, user: None, headers, body: None }).await
}

async fn with_token(server: &Server, token: &str) -> Response {
    with_header(server, &format!("Bearer {token}")).await
}

/// The code of the answer, or `OK`.
fn outcome(answer: &Response) -> String {
    match answer.status {
        200 => "OK".into(),
        401 => {
            assert!(answer.headers["www-authenticate"].starts_with("Bearer"), "{answer:?}");
            answer.body["code"].as_str().unwrap().to_owned()
        }
        _ => format!("{answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_all_checked() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let cases = [
        ("good", json!({}), "OK"),
        ("user_id instead of sub", json!({ "sub": null, "user_id": "user-123" }), "OK"),
        ("audience among others", json!({ "aud": ["other", "mobile-bff"] }), "OK"),
        ("expired within the leeway", json!({ "exp": now() - 20 }), "OK"),
        ("valid from within the leeway", json!({ "nbf": now() + 20 }), "OK"),
        ("expired", json!({ "exp": now() - 60 }), "TOKEN_EXPIRED"),
        ("not valid yet", json!({ "nbf": now() + 120 }), "UNAUTHENTICATED"),
        ("no exp", json!({ "exp": null }), "UNAUTHENTICATED"),
        ("exp as text", json!({ "exp": (now() + 600).to_string() }), "UNAUTHENTICATED"),
        ("negative exp", json!({ "exp": -1 }), "UNAUTHENTICATED"),
        ("no issuer", json!({ "iss": null }), "UNAUTHENTICATED"),
        ("wrong issuer", json!({ "iss": "https://evil.example.com/" }), "UNAUTHENTICATED"),
        ("no audience", json!({ "aud": null }), "UNAUTHENTICATED"),
        ("wrong audience", json!({ "aud": "web" }), "UNAUTHENTICATED"),
        ("other audiences", json!({ "aud": ["web", "tv"] }), "UNAUTHENTICATED"),
        ("no user", json!({ "sub": null }), "UNAUTHENTICATED"),
        ("empty user", json!({ "sub": "" }), "UNAUTHENTICATED"),
        ("fractional exp", json!({ "exp": 4_000_000_000.5 }), "UNAUTHENTICATED"),
        ("a user_id that is not needed", json!({ "user_id": 12 }), "OK"),
        ("a plan that is not one", json!({ "plan": ["premium"] }), "OK"),
        ("user as a number", json!({ "sub": 123 }), "UNAUTHENTICATED"),
    ];
    for (name, changes, expected) in cases {
        let answer = with_token(&server, &dev::token::sign(&claims(&changes))).await;
        assert_eq!(outcome(&answer), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_signatures_are_all_checked() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let good = dev::token::sign(&claims(&json!({})));
    let secret = EncodingKey::from_secret(dev::settings::value("JWT_SECRET").as_bytes());
    let with = |header: &Header, key: &EncodingKey| encode(header, &claims(&json!({})), key).unwrap();
    let other = EncodingKey::from_secret(b"another secret that is long enough to be one");
    let critical = Header { crit: Some(vec!["exp".into()]), ..Header::default() };
    let cut = good[..good.len() - 1].to_owned();
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let cases = [
        ("another secret", with(&Header::default(), &other)),
        ("HS512", with(&Header::new(Algorithm::HS512), &secret)),
        ("crit", with(&critical, &secret)),
        ("no signature", format!("{unsigned}.")),
        ("two segments", unsigned.to_owned()),
        ("four segments", format!("{good}.x")),
        ("a cut signature", cut),
        ("too long", format!("{good}{}", "x".repeat(9000))),
        ("empty", String::new()),
    ];
    for (name, token) in cases {
        assert_eq!(outcome(&with_token(&server, &token).await), "UNAUTHENTICATED", "{name}");
    }
    for scheme in ["Basic", "bearer:", ""] {
        assert_eq!(outcome(&with_header(&server, &format!("{scheme} {good}")).await), "UNAUTHENTICATED", "{scheme:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(outcome(&with_header(&server, &format!("{scheme} {good}")).await), "OK", "{scheme}");
    }
}

/// An identity provider that serves what it is told to.
async fn provider(keys: std::sync::Arc<std::sync::Mutex<Value>>) -> String {
    let serve = move || {
        let keys = keys.lock().unwrap().clone();
        async move { axum::Json(keys) }
    };
    let service = Router::new().route("/jwks.json", axum::routing::get(serve));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await });
    format!("http://{address}/jwks.json")
}

#[tokio::test(flavor = "multi_thread")]
async fn public_keys_of_a_provider() {
    let rsa = EncodingKey::from_rsa_der(include_bytes!("../../keys/rs256.der"));
    let ec = EncodingKey::from_ec_der(include_bytes!("../../keys/es256.der"));
    let jwk = |key: &EncodingKey, algorithm, kid: &str| {
        let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
        jwk.common.key_id = Some(kid.into());
        jwk
    };
    let token = |key: &EncodingKey, algorithm, kid: Option<&str>| {
        let header = Header { kid: kid.map(Into::into), ..Header::new(algorithm) };
        encode(&header, &claims(&json!({})), key).unwrap()
    };
    let database = demo_database().await;
    for (algorithm, key, other_algorithm, other) in
        [(Algorithm::RS256, &rsa, Algorithm::ES256, &ec), (Algorithm::ES256, &ec, Algorithm::RS256, &rsa)]
    {
        let set = |keys: &[Jwk]| json!({ "keys": keys });
        let keys = std::sync::Arc::new(std::sync::Mutex::new(set(&[])));
        let url = provider(keys.clone()).await;
        let name = format!("{algorithm:?}");
        let settings = [("JWT_SECRET", ""), ("JWT_JWKS_URL", &url), ("JWT_ALGORITHM", &name)];
        let server = Server::with(&database.endpoint(), settings, Router::new()).await;

        *keys.lock().unwrap() = set(&[jwk(key, algorithm, "one"), jwk(other, other_algorithm, "other")]);
        assert_eq!(outcome(&with_token(&server, &token(key, algorithm, Some("one"))).await), "OK");
        assert_eq!(outcome(&with_token(&server, &token(key, algorithm, None)).await), "OK", "the only key that fits");
        let refused = [
            ("another algorithm", token(other, other_algorithm, Some("other"))),
            ("another algorithm under a known id", token(other, other_algorithm, Some("one"))),
            ("an id that is a path", token(key, algorithm, Some("../../dev/null"))),
            ("a shared secret", dev::token::sign(&claims(&json!({})))),
        ];
        for (name, token) in refused {
            assert_eq!(outcome(&with_token(&server, &token).await), "UNAUTHENTICATED", "{algorithm:?}: {name}");
        }
    }
}

/// A key that the provider adds is found at once: an unknown id refreshes the set.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_a_provider_is_found() {
    let ec = EncodingKey::from_ec_der(include_bytes!("../../keys/es256.der"));
    let set = |kid: &str| {
        let mut jwk = Jwk::from_encoding_key(&ec, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.into());
        json!({ "keys": [jwk] })
    };
    let token = |kid: &str| {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims(&json!({})), &ec).unwrap()
    };
    let keys = std::sync::Arc::new(std::sync::Mutex::new(set("old")));
    let url = provider(keys.clone()).await;
    let database = demo_database().await;
    let settings = [("JWT_SECRET", ""), ("JWT_JWKS_URL", url.as_str()), ("JWT_ALGORITHM", "ES256")];
    let server = Server::with(&database.endpoint(), settings, Router::new()).await;
    assert_eq!(outcome(&with_token(&server, &token("old")).await), "OK");
    *keys.lock().unwrap() = set("new");
    assert_eq!(outcome(&with_token(&server, &token("new")).await), "OK");
    assert_eq!(outcome(&with_token(&server, &token("unknown")).await), "UNAUTHENTICATED");
}
