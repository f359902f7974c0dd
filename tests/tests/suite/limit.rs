//! The rate limit across instances, as clients meet it.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use dev::{demo, tables, upstream::Upstream};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;
use serde_json::json;
use tests::{
    case::{Request, Response},
    emulator::Store,
    on_every_store,
    server::{Server, demo_database},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::proxy::{Fault, Proxy};

const ME: &str = "/api/v2/users/me?level=minimal";

/// The limits of production, and patience with a busy machine.
const EXACT: [(&str, &str); 6] = [
    ("REQUEST_TIMEOUT_MS", "300000"),
    ("RATE_LIMIT_FREE", "100"),
    ("RATE_LIMIT_PREMIUM", "1000"),
    ("RATE_LIMIT_TIMEOUT_MS", "300000"),
    ("STORE_TIMEOUT_MS", "300000"),
    ("STORE_ATTEMPT_TIMEOUT_MS", "300000"),
];

/// A store with the counters, the orders and some users. Products come from elsewhere, so that they need no table.
struct Stage {
    store: Store,
    users: String,
    products: Upstream,
}

impl Stage {
    async fn on(store: Store) -> Self {
        let (client, users) = (&store.aws.dynamodb, format!("{}-users", store.table));
        tables::create_one(client, &users, &["id"], &[]).await.unwrap();
        for n in (1..10).chain([123]) {
            let user = to_item(demo::user(n).unwrap()).unwrap();
            client.put_item().table_name(&users).set_item(Some(user)).send().await.unwrap();
        }
        Self { store, users, products: Upstream::on_any_port().await.unwrap() }
    }

    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("RATE_LIMIT_TABLE", self.store.counters.clone()),
            ("ORDERS_TABLE", self.store.table.clone()),
            ("USERS_TABLE", self.users.clone()),
            ("BACKEND_PRODUCTS_URL", self.products.url()),
        ]
    }

    /// An instance that comes to the store by this address.
    async fn at<const N: usize>(&self, endpoint: &str, changes: [(&str, &str); N]) -> Server {
        let settings = self.settings();
        let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
        Server::with_all(endpoint, settings.chain(changes), Router::new()).await
    }

    async fn server<const N: usize>(&self, changes: [(&str, &str); N]) -> Server {
        self.at(&self.store.endpoint, changes).await
    }

    /// Writes what a window of the past would have left behind.
    async fn seed(&self, subject: &str, window: u64, hits: u32) {
        let item = self.store.aws.dynamodb.put_item().table_name(&self.store.counters);
        let item = item.item("pk", AttributeValue::S(format!("{subject}#{window}")));
        item.item("hits", AttributeValue::N(hits.to_string())).send().await.unwrap();
    }
}

on_every_store!(
    four_processes_admit_exactly_the_limit_together,
    after_the_wait_the_next_request_passes,
    a_flood_costs_the_store_nothing,
    a_request_costs_one_update,
    an_outage_of_the_counters_lets_reads_through,
    public_routes_count_by_an_address_that_no_client_can_make_up,
);

/// Seconds since the start of the minute.
fn elapsed() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_secs_f64() % 60.0
}

fn window() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 60
}

/// Waits until the minute has so many seconds left, so that a test stays in one window.
async fn with_time_left(seconds: f64) {
    if 60.0 - elapsed() < seconds {
        tokio::time::sleep(Duration::from_secs_f64(60.5 - elapsed())).await;
    }
}

fn get(target: &str, user: Option<&str>, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { method: "GET".into(), target: target.into(), user: user.map(Into::into), headers, body: None }
}

fn post_order(user: &str) -> Request {
    let body = json!({ "items": [{ "productId": "p-0001", "quantity": 1 }] });
    let (method, target) = ("POST".into(), "/api/v2/orders?level=minimal".into());
    Request { method, target, user: Some(user.into()), headers: BTreeMap::new(), body: Some(body) }
}

/// Not a test of its own: an instance of the service in another process, for the test below.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by other tests, as a process of its own"]
async fn instance() {
    let endpoint = std::env::var("INSTANCE_OF").expect("the DynamoDB to work on");
    let names = ["RATE_LIMIT_TABLE", "ORDERS_TABLE", "USERS_TABLE", "BACKEND_PRODUCTS_URL"];
    let settings = names.map(|name| (name, std::env::var(name).expect("the settings of the stage")));
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let server = Server::with_all(&endpoint, EXACT.into_iter().chain(settings), Router::new()).await;
    println!("\nlistening on {}", server.address());
    // It ends with the process that started it.
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

async fn spawn_instance(stage: &Stage) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limit::instance", "--ignored", "--nocapture"])
        .env("INSTANCE_OF", &stage.store.endpoint)
        .envs(stage.settings())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("the instance starts");
        if let Some(address) = line.strip_prefix("listening on ") {
            break address.to_owned();
        }
    };
    // It says on its output what its log must not tell.
    tests::logs::follow(lines.into_inner());
    (child, address)
}

/// Sends so many requests of one user at once, spread over instances: how many were admitted, and how many denied.
async fn storm(addresses: &[String], user: &str, plan: Option<&str>, requests: usize) -> (usize, usize) {
    shared::backend::upstream::install_tls_provider();
    let client = reqwest::Client::new();
    let token = dev::token::issue(&user.parse().unwrap(), plan);
    let mut tasks = JoinSet::new();
    for n in 0..requests {
        let request = client.get(format!("http://{}{ME}", addresses[n % addresses.len()])).bearer_auth(&token);
        tasks.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = tasks.join_all().await;
    let count = |status: u16| statuses.iter().filter(|given| **given == status).count();
    assert_eq!(count(200) + count(429), requests, "{statuses:?}");
    (count(200), count(429))
}

async fn four_processes_admit_exactly_the_limit_together(store: Store) {
    let stage = Stage::on(store).await;
    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(spawn_instance(&stage).await);
    }
    let addresses: Vec<String> = instances.iter().map(|(_, address)| address.clone()).collect();
    with_time_left(30.0).await;
    let (free, another) = tokio::join!(storm(&addresses, "user-123", None, 320), storm(&addresses, "user-8", None, 90));
    assert_eq!(free, (100, 220));
    assert_eq!(another, (90, 0), "the other does not count");
    with_time_left(45.0).await;
    assert_eq!(storm(&addresses, "user-7", Some("premium"), 1100).await, (1000, 100));
}

fn denied(answer: &Response) -> u64 {
    assert_eq!((answer.status, &answer.body["code"]), (429, &json!("RATE_LIMITED")), "{answer:?}");
    assert_eq!(answer.body["retryable"], true);
    let wait = answer.body["retryAfter"].as_u64().unwrap();
    assert_eq!(answer.headers["retry-after"], wait.to_string());
    assert_eq!(answer.headers["ratelimit-policy"], "\"user\";q=100;w=60");
    assert_eq!(answer.headers["ratelimit"], format!("\"user\";r=0;t={wait}"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    wait
}

/// Another instance and the same one: waiting exactly as long as told is enough.
async fn after_the_wait_the_next_request_passes(store: Store) {
    let stage = Stage::on(store).await;
    with_time_left(30.0).await;
    for (user, same) in [("user-1", true), ("user-2", false)] {
        // With 40 requests in the window before, a place gets free every 1.5 seconds.
        let allowed = (100.0 - 40.0 * (1.0 - elapsed() / 60.0)).ceil();
        stage.seed(&format!("u:{user}"), window() - 1, 40).await;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        stage.seed(&format!("u:{user}"), window(), allowed as u32).await;
        let (first, second) = (stage.server(EXACT).await, stage.server(EXACT).await);
        let answer = first.get(ME, Some(user)).await;
        if answer.status == 200 {
            // A place got free between the seed and the request; the next one is denied.
            denied(&first.get(ME, Some(user)).await);
        }
        let wait = denied(&first.get(ME, Some(user)).await);
        assert!((1..=2).contains(&wait), "{wait}");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let next = if same { &first } else { &second };
        assert_eq!(next.get(ME, Some(user)).await.status, 200, "{user} after {wait} s");
    }
}

async fn a_flood_costs_the_store_nothing(store: Store) {
    let stage = Stage::on(store).await;
    let (proxy, endpoint) = Proxy::start(stage.store.endpoint.clone()).await;
    let server = stage.at(&endpoint, EXACT).await;
    with_time_left(20.0).await;
    stage.seed("u:user-123", window(), 100).await;
    denied(&server.get(ME, Some("user-123")).await);
    proxy.look();
    for _ in 0..50 {
        denied(&server.get(ME, Some("user-123")).await);
    }
    assert_eq!(proxy.look(), []);
    // A window in which nothing is allowed yet is not asked for either.
    stage.seed("u:user-9", window() - 1, 5000).await;
    denied(&server.get(ME, Some("user-9")).await);
    let updates = proxy.look().into_iter().filter(|passed| passed.operation == "UpdateItem").count();
    assert_eq!(updates, 0);
}

/// What was read once of the window before is not read again, and an admitted request is one write.
async fn a_request_costs_one_update(store: Store) {
    let stage = Stage::on(store).await;
    let (proxy, endpoint) = Proxy::start(stage.store.endpoint.clone()).await;
    let server = stage.at(&endpoint, EXACT).await;
    with_time_left(20.0).await;
    for n in 1..=10 {
        let answer = server.get(ME, Some("user-123")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers["ratelimit"].starts_with(&format!("\"user\";r={};t=", 100 - n)), "{answer:?}");
    }
    let calls: Vec<String> = proxy
        .look()
        .into_iter()
        .filter(|passed| passed.table == stage.store.counters)
        .map(|passed| passed.operation)
        .collect();
    let count = |operation: &str| calls.iter().filter(|call| *call == operation).count();
    assert_eq!((count("GetItem"), count("UpdateItem"), calls.len()), (1, 10, 11), "{calls:?}");
}

/// The check runs beside a read: the slower of the two is what a client waits for, not their sum.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_ends_the_read() {
    let database = demo_database().await;
    let (proxy, endpoint) = Proxy::start(database.endpoint()).await;
    let server = Server::with(&endpoint, EXACT, Router::new()).await;
    with_time_left(20.0).await;
    let counters = dev::app::on(&database.endpoint()).unwrap().aws.dynamodb.put_item().table_name("bff-rate-limits");
    let full = counters.item("pk", AttributeValue::S(format!("u:user-123#{}", window())));
    full.item("hits", AttributeValue::N("100".into())).send().await.unwrap();
    proxy.set_fault(Some(("bff-users", Fault::Silent)));
    let asked = Instant::now();
    denied(&server.get(ME, Some("user-123")).await);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

/// The counters are away for five seconds: reads go on, at most as many as one instance may let through alone; orders do
/// not; and then everything is as before.
async fn an_outage_of_the_counters_lets_reads_through(store: Store) {
    let stage = Stage::on(store).await;
    let (proxy, endpoint) = Proxy::start(stage.store.endpoint.clone()).await;
    let server = stage.at(&endpoint, [("RATE_LIMIT_FREE", "100"), ("RATE_LIMIT_TIMEOUT_MS", "100")]).await;
    with_time_left(30.0).await;
    assert_eq!(server.get(ME, Some("user-123")).await.status, 200);
    for (fault, another, code) in [(Fault::Silent, "user-5", "TIMEOUT"), (Fault::Broken, "user-6", "BACKEND_ERROR")] {
        proxy.set_fault(Some((&stage.store.counters, fault)));
        let begin = Instant::now();
        let mut times = Vec::new();
        while begin.elapsed() < Duration::from_millis(2500) {
            let asked = Instant::now();
            assert_eq!(server.get(ME, Some("user-123")).await.status, 200, "{fault:?}");
            times.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        // Each would wait for counters that say nothing. Of a machine that stands still for a moment, one does.
        times.sort_unstable();
        assert!(times.len() >= 5 && times[times.len() - 2] < Duration::from_secs(1), "{times:?}");
        let order = server.send(&post_order("user-123")).await;
        assert_eq!((&order.body["code"], &order.body["retryable"]), (&json!(code), &json!(true)), "{order:?}");
        // One instance alone holds the limit too.
        let mut statuses = Vec::new();
        for _ in 0..101 {
            statuses.push(server.get(ME, Some(another)).await.status);
        }
        assert!(statuses.contains(&429) && statuses[..50].iter().all(|status| *status == 200), "{statuses:?}");
        proxy.set_fault(None);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        with_time_left(15.0).await;
    }
    assert_eq!(server.send(&post_order("user-123")).await.status, 201);
    let answer = server.get(ME, Some("user-123")).await;
    assert!(!answer.headers["ratelimit"].contains("r=0"), "{answer:?}");
}

/// How many of some requests are admitted.
async fn admitted(server: &Server, requests: &[Request]) -> usize {
    let mut admitted = 0;
    for request in requests {
        match server.send(request).await.status {
            200 => admitted += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    admitted
}

async fn public_routes_count_by_an_address_that_no_client_can_make_up(store: Store) {
    let stage = Stage::on(store).await;
    let secret = "an origin secret that is long enough to be one";
    let few = ("RATE_LIMIT_FREE", "5");
    let patient = ("RATE_LIMIT_TIMEOUT_MS", "60000");
    let requests = |headers: &dyn Fn(u8) -> Vec<(&'static str, String)>| -> Vec<Request> {
        let request = |n| {
            let headers = headers(n);
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            get("/api/v2/products/p-0001", None, &headers)
        };
        (1..=10).map(request).collect()
    };
    let forged = requests(&|n| {
        vec![
            ("x-forwarded-for", format!("192.0.2.{n}")),
            ("cloudfront-viewer-address", format!("192.0.2.{n}:80")),
            ("x-origin-verify", "a guess".into()),
            ("forwarded", format!("for=192.0.2.{n}")),
            ("x-real-ip", format!("192.0.2.{n}")),
        ]
    });
    let bad_tokens = requests(&|n| vec![("authorization", format!("Bearer guess-{n}"))]);
    let appended = requests(&|n| vec![("x-forwarded-for", format!("192.0.2.{n}, 198.51.100.1"))]);
    let passed_on = requests(&|n| vec![("x-forwarded-for", format!("evil, 198.51.100.{n}"))]);
    let viewers = requests(&|n| {
        vec![("cloudfront-viewer-address", format!("203.0.113.{n}:80")), ("x-origin-verify", secret.into())]
    });
    let subscriber = requests(&|n| {
        vec![("cloudfront-viewer-address", format!("2001:db8:1:2::{n}:80")), ("x-origin-verify", secret.into())]
    });

    with_time_left(20.0).await;
    let direct = stage.server([few, patient]).await;
    let answer = direct.send(&forged[0]).await;
    assert!(!answer.headers.contains_key("ratelimit"), "a shared cache would hand it to others");
    assert_eq!(admitted(&direct, &forged).await, 4);
    assert_eq!(admitted(&direct, &bad_tokens).await, 0, "a token that does not verify names nobody");
    let denial = direct.send(&forged[0]).await;
    assert_eq!(denial.headers["ratelimit-policy"], "\"address\";q=5;w=60");
    assert_eq!(direct.get(ME, Some("user-123")).await.status, 200, "a user is not an address");
    assert_eq!(direct.get("/health", None).await.status, 200);

    let behind = stage.server([few, patient, ("TRUSTED_PROXIES", "1"), ("ORIGIN_SECRET", secret)]).await;
    assert_eq!(admitted(&behind, &appended).await, 5, "what stands left of the proxy's own entry says nothing");
    assert_eq!(admitted(&behind, &passed_on).await, 9, "one of them has had its share");
    assert_eq!(admitted(&behind, &viewers).await, 10);
    assert_eq!(admitted(&behind, &subscriber).await, 5, "64 bits are one subscriber");
}
