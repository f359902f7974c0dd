//! Secrets in Secrets Manager: both values of a rotation, and what happens when it cannot be reached.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, body::Bytes, extract::State, http::StatusCode};
use dev::{bucket::Bucket, settings};
use http::HeaderMap;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use shared::{
    Code,
    backend::aws::Aws,
    config::{Config, Env},
    http::auth::{Auth, Identity},
    image::Images,
    secrets::current_and_previous,
};
use tests::{
    emulator::independent_endpoint,
    server::{Server, serve},
};

const OLD: &str = "the old secret, which is long enough to be one";
const NEW: &str = "the new secret, which is long enough to be one";

/// A Secrets Manager with one secret: what each stage holds, or nothing at all when it is down.
#[derive(Clone, Default)]
struct Manager {
    stages: Arc<Mutex<Option<Value>>>,
    calls: Arc<AtomicUsize>,
}

impl Manager {
    fn set(&self, stages: Value) {
        *self.stages.lock().unwrap() = Some(stages);
    }

    fn go_down(&self) {
        *self.stages.lock().unwrap() = None;
    }

    async fn serve(&self) -> String {
        serve(Router::new().fallback(get_secret_value).with_state(self.clone())).await
    }
}

async fn get_secret_value(State(manager): State<Manager>, request: Bytes) -> (StatusCode, Json<Value>) {
    let request: Value = serde_json::from_slice(&request).unwrap();
    manager.calls.fetch_add(1, Ordering::SeqCst);
    let stages = manager.stages.lock().unwrap().clone();
    let Some(stages) = stages else {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "__type": "InternalServiceError" })));
    };
    let stage = request["VersionStage"].as_str();
    match stage.and_then(|stage| stages[stage].as_str()) {
        Some(value) => (StatusCode::OK, Json(json!({ "Name": request["SecretId"], "SecretString": value }))),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "__type": "ResourceNotFoundException", "message": "no" }))),
    }
}

async fn auth(manager: &Manager) -> Auth {
    let pairs = settings::pairs().filter(|(name, _)| *name != "JWT_SECRET");
    let env: Env = pairs.chain([("JWT_SECRET_ID", "bff/jwt"), ("STORE_TIMEOUT_MS", "900")]).collect();
    let config = Config::from_env(&env).unwrap();
    Auth::new(&config.jwt, &Aws::local(&manager.serve().await, config.limits).unwrap().secrets).unwrap()
}

/// `ok`, or the code of the refusal.
async fn verify(auth: &Auth, secret: &str) -> &'static str {
    let exp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims =
        json!({ "sub": "u", "iss": settings::value("JWT_ISSUER"), "aud": settings::value("JWT_AUDIENCE"), "exp": exp });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap();
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
    match auth.identify(&headers).await {
        Identity::Verified(_) => "ok",
        Identity::Refused(error) => error.code().facts().name,
        Identity::Anonymous => "anonymous",
    }
}

#[tokio::test]
async fn both_values_of_a_rotation_verify_and_are_cached() {
    let manager = Manager::default();
    manager.set(json!({ "AWSCURRENT": NEW, "AWSPREVIOUS": OLD }));
    let auth = auth(&manager).await;
    for _ in 0..20 {
        assert_eq!(verify(&auth, NEW).await, "ok");
        assert_eq!(verify(&auth, OLD).await, "ok");
    }
    assert_eq!(manager.calls.load(Ordering::SeqCst), 2, "one fetch of each stage");
}

#[tokio::test]
async fn a_rotation_is_noticed_by_the_first_new_token() {
    let manager = Manager::default();
    manager.set(json!({ "AWSCURRENT": OLD }));
    let auth = auth(&manager).await;
    assert_eq!(verify(&auth, OLD).await, "ok");
    manager.set(json!({ "AWSCURRENT": NEW, "AWSPREVIOUS": OLD }));
    assert_eq!(verify(&auth, NEW).await, "ok");
    assert_eq!(verify(&auth, OLD).await, "ok");
    let calls = manager.calls.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(verify(&auth, "a forged secret that is long enough to be one").await, "UNAUTHENTICATED");
    }
    assert_eq!(manager.calls.load(Ordering::SeqCst), calls, "forged tokens cause no fetches");
}

/// A rotation while tokens of both values come in without a pause: not one that is valid is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_refuses_nobody() {
    let manager = Manager::default();
    manager.set(json!({ "AWSCURRENT": OLD }));
    let auth = auth(&manager).await;
    let rotated = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let end = std::time::Instant::now() + std::time::Duration::from_millis(1500);
    let callers = (0..8).map(|caller| {
        let (auth, rotated) = (auth.clone(), Arc::clone(&rotated));
        tokio::spawn(async move {
            let (mut verified, mut refused) = (0, Vec::new());
            while std::time::Instant::now() < end {
                let newest = rotated.load(Ordering::SeqCst) && (verified + caller) % 2 == 0;
                match verify(&auth, if newest { NEW } else { OLD }).await {
                    "ok" => verified += 1,
                    code => refused.push(code),
                }
            }
            (verified, refused)
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    manager.set(json!({ "AWSCURRENT": NEW, "AWSPREVIOUS": OLD }));
    rotated.store(true, Ordering::SeqCst);
    let mut total = 0;
    for caller in callers {
        let (verified, refused) = caller.await.unwrap();
        assert_eq!(refused, Vec::<&str>::new());
        total += verified;
    }
    assert!(total > 100, "{total} tokens");
}

#[tokio::test]
async fn the_last_value_serves_while_the_manager_is_down() {
    let manager = Manager::default();
    let auth = auth(&manager).await;
    assert_eq!(auth.warm_up().await, Ok(()), "a manager that is down does not stop the start");
    assert_eq!(verify(&auth, OLD).await, "UNAVAILABLE", "which a phone may retry");
    manager.set(json!({ "AWSCURRENT": OLD }));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(verify(&auth, OLD).await, "ok");
    manager.go_down();
    assert_eq!(verify(&auth, OLD).await, "ok");
    assert_eq!(verify(&auth, NEW).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_short_secret_stops_the_start_and_never_verifies() {
    let manager = Manager::default();
    manager.set(json!({ "AWSCURRENT": "short" }));
    let refusal = auth(&manager).await.warm_up().await.unwrap_err().to_string();
    assert_eq!(refusal, "JWT_SECRET_ID names a secret that has 5 bytes; HS256 needs at least 32");
    manager.set(json!({ "AWSCURRENT": NEW, "AWSPREVIOUS": "short" }));
    assert_eq!(verify(&auth(&manager).await, "short").await, "UNAUTHENTICATED");
}

/// The addresses of images are signed with the current value, whatever the previous one is.
#[tokio::test]
async fn images_are_signed_with_the_current_secret() {
    let manager = Manager::default();
    let pairs = || settings::pairs().filter(|(name, _)| !name.starts_with("IMAGES_SECRET"));
    let config = Config::from_env(&settings::pairs().collect()).unwrap();
    let client = Aws::local(&manager.serve().await, config.limits).unwrap().secrets;
    let images = |name, value| {
        let env: Env = pairs().chain([(name, value)]).collect();
        Images::from_env(&env, &client).unwrap()
    };
    let kept = images("IMAGES_SECRET_ID", "bff/images");
    assert_eq!(kept.addresses().await.unwrap_err().code(), Code::Unavailable, "which a phone may retry");
    manager.set(json!({ "AWSCURRENT": NEW, "AWSPREVIOUS": OLD }));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let address = kept.addresses().await.unwrap().original("a.jpg");
    assert_eq!(address, images("IMAGES_SECRET", NEW).addresses().await.unwrap().original("a.jpg"));
    assert_ne!(address, images("IMAGES_SECRET", OLD).addresses().await.unwrap().original("a.jpg"));
    let calls = manager.calls.load(Ordering::SeqCst);
    kept.addresses().await.unwrap();
    assert_eq!(manager.calls.load(Ordering::SeqCst), calls, "not fetched for each answer");
}

/// A signer may have seen a rotation before the route of images has.
#[tokio::test(flavor = "multi_thread")]
async fn the_images_route_notices_a_rotation_by_the_first_new_address() {
    let manager = Manager::default();
    manager.set(json!({ "AWSCURRENT": OLD }));
    let (server, _bucket) = images_server(&manager).await;
    assert_eq!(ask(&server, &thumbnail(OLD).await).await, 200);
    let before = manager.calls.load(Ordering::SeqCst);
    for target in ["/images/products/p-0001.jpg?w=64", "/images/products/p-0001.jpg?w=64&expires=9&signature=x&w=1"] {
        assert_ne!(ask(&server, target).await, 200, "{target}");
    }
    assert_eq!(manager.calls.load(Ordering::SeqCst), before, "no signature, so nothing to look for");
    manager.set(json!({ "AWSCURRENT": NEW, "AWSPREVIOUS": OLD }));
    assert_eq!(ask(&server, &thumbnail(NEW).await).await, 200);
    assert_eq!(ask(&server, &thumbnail(OLD).await).await, 200);
    let calls = manager.calls.load(Ordering::SeqCst);
    assert_eq!(calls, before + 2, "one fetch of each stage");
    for _ in 0..20 {
        assert_eq!(ask(&server, &thumbnail("a forged secret that is long enough to be one").await).await, 403);
    }
    assert_eq!(manager.calls.load(Ordering::SeqCst), calls, "forged addresses cause no fetches");
}

/// A secret that is too short verifies nothing, and does not leave the route open either.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_secret_of_images_opens_nothing() {
    let manager = Manager::default();
    manager.set(json!({ "AWSCURRENT": "short" }));
    let (server, _bucket) = images_server(&manager).await;
    assert_eq!(ask(&server, "/images/products/p-0001.jpg?w=64").await, 503);
}

/// A server with photos whose addresses are signed with the manager's secret. It needs no database.
async fn images_server(manager: &Manager) -> (Server, Bucket) {
    let bucket = Bucket::on_any_port().await.unwrap();
    let settings = [("AWS_ENDPOINT_URL_S3", bucket.endpoint()), ("IMAGES_SECRET_ID", "bff/images".to_owned())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    (Server::with(&manager.serve().await, settings, Router::new()).await, bucket)
}

/// The address of a thumbnail, signed with this secret.
async fn thumbnail(secret: &'static str) -> String {
    let env: Env = settings::pairs().chain([("IMAGES_SECRET", secret)]).collect();
    let client = Aws::local("http://127.0.0.1:1", Config::from_env(&env).unwrap().limits).unwrap().secrets;
    Images::from_env(&env, &client).unwrap().addresses().await.unwrap().thumbnail("products/p-0001.jpg")
}

async fn ask(server: &Server, target: &str) -> u16 {
    server.get(target, None).await.status
}

/// The same through a Secrets Manager that is not ours.
#[tokio::test]
async fn the_independent_emulator_moves_the_stages() {
    let Some(endpoint) = independent_endpoint() else { return };
    let limits = Config::from_env(&settings::pairs().collect()).unwrap().limits;
    let client = Aws::local(&endpoint, limits).unwrap().secrets;
    let name = format!("jwt-{}", shared::Id::generate());
    client.create_secret().name(&name).secret_string(OLD).send().await.unwrap();
    assert_eq!(current_and_previous(&client, &name).await.unwrap(), [OLD]);
    client.put_secret_value().secret_id(&name).secret_string(NEW).send().await.unwrap();
    assert_eq!(current_and_previous(&client, &name).await.unwrap(), [NEW, OLD]);
    let missing = current_and_previous(&client, "no-such-secret").await.unwrap_err().to_string();
    assert!(missing.contains("no-such-secret"), "{missing}");
}
