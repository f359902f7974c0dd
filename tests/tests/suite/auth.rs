//! Tokens: which are accepted, which are refused, and with what answer.

use axum::Router;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use tests::{
    case::{Request, Response},
    server::{Server, demo_database, serve},
};

use crate::lure::Lure;

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

/// A token of these parts as they are, signed with the right secret unless a signature is given.
fn raw_token(header: &str, claims: &str, signature: Option<&str>) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = signature.map_or_else(
        || {
            let key = EncodingKey::from_secret(dev::settings::value("JWT_SECRET").as_bytes());
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap()
        },
        str::to_owned,
    );
    format!("{signed}.{signature}")
}

/// What attackers are known to try (RFC 8725, section 2). Each is a 401 that takes no longer than any other request.
#[tokio::test(flavor = "multi_thread")]
async fn known_attacks_are_all_refused_and_none_is_slow() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let plain = claims(&json!({})).to_string();
    let hs256 = r#"{"alg":"HS256","typ":"JWT"}"#;
    assert_eq!(outcome(&with_token(&server, &raw_token(hs256, &plain, None)).await), "OK", "the tool itself works");
    let lure = Lure::lay().await;

    let mut attacks: Vec<(String, String)> = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256"] {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        attacks.push((format!("alg {alg}"), raw_token(&header, &plain, None)));
        attacks.push((format!("alg {alg}, not signed"), raw_token(&header, &plain, Some(""))));
    }
    let headers = [
        ("no alg", json!({ "typ": "JWT" })),
        ("crit", json!({ "alg": "HS256", "crit": ["exp"] })),
        ("unknown crit", json!({ "alg": "HS256", "crit": ["x"], "x": 1 })),
        ("b64", json!({ "alg": "HS256", "b64": false })),
        ("b64 in crit", json!({ "alg": "HS256", "b64": false, "crit": ["b64"] })),
    ];
    attacks.extend(headers.map(|(name, header)| (name.to_owned(), raw_token(&header.to_string(), &plain, None))));
    // Keys that the token brings along or points to, with what it would be signed with.
    let nothing = EncodingKey::from_secret(b"");
    let own = EncodingKey::from_secret(b"a secret of the attacker that is long enough to be one");
    let jwk = json!({ "kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode("a secret of the attacker that is long enough to be one") });
    for (name, header, key) in [
        ("kid to an empty file", json!({ "alg": "HS256", "kid": "../../../../dev/null" }), &nothing),
        ("kid as a query", json!({ "alg": "HS256", "kid": "' UNION SELECT 'x" }), &own),
        ("kid as a command", json!({ "alg": "HS256", "kid": "x; sleep 5" }), &own),
        ("an embedded key", json!({ "alg": "HS256", "jwk": jwk }), &own),
        ("a key set elsewhere", json!({ "alg": "HS256", "jku": lure.url }), &own),
        ("a certificate elsewhere", json!({ "alg": "HS256", "x5u": lure.url }), &own),
    ] {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(&header.to_string()), part(&plain));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, Algorithm::HS256).unwrap();
        attacks.push((name.to_owned(), format!("{signed}.{signature}")));
    }
    let good = raw_token(hs256, &plain, None);
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let premium = BASE64_URL_SAFE_NO_PAD.encode(claims(&json!({ "plan": "premium" })).to_string());
    let foreign = BASE64_URL_SAFE_NO_PAD.encode(claims(&json!({ "sub": "user-7" })).to_string());
    let twice = plain.replacen('{', r#"{"sub":"user-7","#, 1);
    attacks.extend(
        [
            ("one segment", head.to_owned()),
            ("two segments", format!("{head}.{body}")),
            ("four segments", format!("{good}.{signature}")),
            ("five segments", format!("{head}.{body}.{signature}.{body}.{signature}")),
            ("an empty signature", format!("{head}.{body}.")),
            ("half a signature", format!("{head}.{body}.{}", &signature[..20])),
            ("a forged plan", format!("{head}.{premium}.{signature}")),
            ("a forged user", format!("{head}.{foreign}.{signature}")),
            ("a claim twice", raw_token(hs256, &twice, None)),
            ("no JSON in it", raw_token(hs256, "not JSON", None)),
            ("a list of claims", raw_token(hs256, &format!("[{plain}]"), None)),
            // One of 100 KB may be refused with its whole head: how much of that is read before depends on its segments.
            ("50 KB", format!("{head}.{}.{signature}", "A".repeat(50_000))),
        ]
        .map(|(name, token)| (name.to_owned(), token)),
    );
    for (name, token) in attacks {
        let asked = std::time::Instant::now();
        let answer = with_token(&server, &token).await;
        assert_eq!(outcome(&answer), "UNAUTHENTICATED", "{name}");
        assert!(answer.headers["ratelimit-policy"].starts_with("\"address\""), "{name}: a forged token names nobody");
        assert!(asked.elapsed() < std::time::Duration::from_secs(2), "{name}: {:?}", asked.elapsed());
    }
    assert_eq!(lure.bites().await, 0, "a token makes nobody fetch anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_are_none() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let good = dev::token::sign(&claims(&json!({})));
    let request = reqwest::Client::new().get(format!("http://{}/api/v2/users/me", server.address()));
    let answer = request.bearer_auth(&good).bearer_auth(&good).send().await.unwrap();
    assert_eq!(answer.status(), 401);
}

/// The public key as an HMAC secret: the confusion of RS256 with HS256.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_shared_secret() {
    let rsa = EncodingKey::from_rsa_der(include_bytes!("../../keys/rs256.der"));
    let mut jwk = Jwk::from_encoding_key(&rsa, Algorithm::RS256).unwrap();
    jwk.common.key_id = Some("one".into());
    let jwk = json!(jwk);
    let modulus = jwk["n"].as_str().unwrap().to_owned();
    let url = provider(std::sync::Arc::new(std::sync::Mutex::new(json!({ "keys": [jwk] })))).await;
    let database = demo_database().await;
    let settings = [("JWT_SECRET", ""), ("JWT_JWKS_URL", &url), ("JWT_ALGORITHM", "RS256")];
    let server = Server::with(&database.endpoint(), settings, Router::new()).await;
    let header = |algorithm| Header { kid: Some("one".into()), ..Header::new(algorithm) };
    let good = encode(&header(Algorithm::RS256), &claims(&json!({})), &rsa).unwrap();
    assert_eq!(outcome(&with_token(&server, &good).await), "OK");
    let raw = BASE64_URL_SAFE_NO_PAD.decode(&modulus).unwrap();
    for key in [modulus.as_bytes(), &raw, jwk.to_string().as_bytes()] {
        let confused = encode(&header(Algorithm::HS256), &claims(&json!({})), &EncodingKey::from_secret(key)).unwrap();
        assert_eq!(outcome(&with_token(&server, &confused).await), "UNAUTHENTICATED");
    }
}

/// An identity provider that serves what it is told to.
async fn provider(keys: std::sync::Arc<std::sync::Mutex<Value>>) -> String {
    let told = move || {
        let keys = keys.lock().unwrap().clone();
        async move { axum::Json(keys) }
    };
    let endpoint = serve(Router::new().route("/jwks.json", axum::routing::get(told))).await;
    format!("{endpoint}/jwks.json")
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
