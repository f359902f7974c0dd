//! What each route asks of DynamoDB: capacity units as the store counts them, how many times a request waits for it, and
//! the bytes of the answer. `cost` computes with these.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::{Client, config::HttpClient};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use axum::{Router, body::Body};
use dev::{app, database::Database, demo, settings, token};
use http::{
    Method, Request, Response,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use shared::runtime::App;
use tower::ServiceExt;

use crate::{Failure, meter::Meter};

/// How much longer each call of the store takes here, so that those that are sent at one time are all under way before the
/// first of them ends.
const DELAY: Duration = Duration::from_millis(100);

/// The limits of time that a request has, in milliseconds.
const TIME_LIMITS: [&str; 5] = [
    "REQUEST_TIMEOUT_MS",
    "HOME_PART_TIMEOUT_MS",
    "STORE_TIMEOUT_MS",
    "STORE_ATTEMPT_TIMEOUT_MS",
    "RATE_LIMIT_TIMEOUT_MS",
];

/// What phones ask for; what writes comes last. `cost/traffic.json` gives each its share.
fn requests() -> Vec<Asked> {
    let line = |n: u32| json!({ "productId": format!("p-{n:04}"), "quantity": 1 });
    let order = || json!({ "items": [line(1), line(2), line(3)], "note": "Leave it at the door." });
    let put = |n: u32| json!({ "op": "put", "id": format!("offline-{n}"), "version": 0, "data": order() });
    let get = |name, target: &str| Asked { name, method: Method::GET, target: target.into(), body: None, again: None };
    let write = |name, method, target: &str, body| Asked { body: Some(body), method, ..get(name, target) };
    let again = |again, asked| Asked { again: Some(again), ..asked };
    vec![
        get("home", "/api/v2/home"),
        get("user", "/api/v2/users/me"),
        get("products", "/api/v2/products?limit=20"),
        again(Again::Unmodified, get("products, 304", "/api/v2/products?limit=20")),
        get("product", "/api/v2/products/p-0001"),
        again(Again::Since, get("products delta, idle", "/api/v2/products/delta")),
        get("orders", "/api/v2/orders?limit=20"),
        get("order", "/api/v2/orders/o-123-01"),
        again(Again::Since, get("orders delta, idle", "/api/v2/orders/delta")),
        write("order, new", Method::POST, "/api/v2/orders", order()),
        write("order, edit", Method::PATCH, "/api/v2/orders/o-123-24", json!({ "version": 1, "note": "Ring twice." })),
        write(
            "batch of 10 orders",
            Method::POST,
            "/api/v2/orders/batch",
            json!({ "mutations": (0..10).map(put).collect::<Vec<_>>() }),
        ),
    ]
}

struct Asked {
    name: &'static str,
    method: Method,
    target: String,
    body: Option<Value>,
    again: Option<Again>,
}

/// What a request takes from an answer that came before.
#[derive(Clone, Copy)]
enum Again {
    /// The entity tag.
    Unmodified,
    /// The sync token at the end of everything.
    Since,
}

/// A service, and who asks it.
struct Phone {
    service: Router,
    token: String,
    coding: &'static str,
}

impl Phone {
    async fn send(&self, method: &Method, target: &str, tag: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        request = request.header(AUTHORIZATION, &self.token).header(ACCEPT_ENCODING, self.coding);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.service.clone().oneshot(request.header(CONTENT_TYPE, "application/json").body(body)?).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status.is_client_error() || head.status.is_server_error() {
            return Err(format!("{target}: {} {}", head.status, String::from_utf8_lossy(&body)).into());
        }
        Ok(Response::from_parts(head, body))
    }

    /// The request as it is sent: with the tag or the token that its answer of before has given.
    async fn prepare(&self, asked: &Asked) -> Result<(String, Option<String>), Failure> {
        let Asked { method, target, .. } = asked;
        match asked.again {
            None => Ok((target.clone(), None)),
            Some(Again::Unmodified) => {
                let first = self.send(method, target, None, None).await?;
                let tag = first.headers().get(ETAG).ok_or("the answer has no tag")?.to_str()?.to_owned();
                Ok((target.clone(), Some(tag)))
            }
            Some(Again::Since) => {
                let mut since = target.clone();
                loop {
                    let page = self.send(method, &since, None, None).await?;
                    let page: Value = serde_json::from_slice(page.body())?;
                    let token = page["syncToken"].as_str().ok_or("the answer has no token")?;
                    since = format!("{target}?since={token}");
                    if page["hasMore"] == false {
                        return Ok((since, None));
                    }
                }
            }
        }
    }
}

type Answer = Result<Response<axum::body::Bytes>, Failure>;

/// What is done with the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// A table.
    #[default]
    Table,
    /// The file that `cost` reads.
    Json,
    /// Compared with such a file.
    Check(PathBuf),
}

/// Measures, and prints or compares.
pub(crate) async fn run(output: &Output) -> Result<(), Failure> {
    let database = Database::in_memory().await?;
    demo::prepare(&database, demo::TEST_EPOCH).await?;
    let mut routes = Map::new();
    for asked in requests() {
        routes.insert(asked.name.to_owned(), measure(&asked, &database).await?);
    }
    database.stop().await;
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&routes)?),
        Output::Check(file) => check(file, &routes)?,
        Output::Table => {
            println!("| route | status | bytes | waits for the store | read units | write units |");
            println!("| --- | --- | --- | --- | --- | --- |");
            for (name, route) in &routes {
                let [status, bytes, waits] = ["status", "bytes", "waits"].map(|member| &route[member]);
                println!(
                    "| {name} | {status} | {bytes} | {waits} | {} | {} |",
                    route["readUnits"], route["writeUnits"]
                );
            }
        }
    }
    Ok(())
}

/// Fails when a file has other figures. The bytes may differ, since answers hold ids and times.
fn check(file: &Path, routes: &Map<String, Value>) -> Result<(), Failure> {
    let mut written: Map<String, Value> = serde_json::from_slice(&fs::read(file)?)?;
    for (name, measured) in routes {
        let mut expected = measured.clone();
        let found = written.remove(name).unwrap_or_default();
        expected["bytes"] = found["bytes"].clone();
        if found != expected {
            return Err(format!("{} says {found} of {name:?}; measured is {measured}", file.display()).into());
        }
    }
    match written.keys().next() {
        Some(name) => Err(format!("{} has {name:?}, which is not measured", file.display()).into()),
        None => Ok(()),
    }
}

/// On an instance of its own, which keeps no answer to the requests before.
async fn measure(asked: &Asked, database: &Database) -> Result<Value, Failure> {
    let meter = Meter::default();
    // Everything is slow here, and nothing may be given up.
    let env = settings::env().with(TIME_LIMITS.map(|name| (name, "60000")));
    let mut app = app::with(env, &database.endpoint())?;
    let (target, tag) = phone(&app, "identity")?.prepare(asked).await?;

    let waits = Waits::default();
    app.aws.dynamodb = waits.on(&meter.on(&app.aws.dynamodb))?;
    let phone = phone(&app, "br")?;
    early_in_a_window().await;
    // As on an instance that is warm: it knows what the caller has asked in the window before.
    phone.send(&Method::GET, "/api/v2/users/me", None, None).await?;
    meter.take();
    waits.take();
    let answer = phone.send(&asked.method, &target, tag.as_deref(), asked.body.as_ref()).await?;
    let (units, waits) = (meter.take(), waits.take());
    Ok(json!({ "status": answer.status().as_u16(), "bytes": hundreds(answer.body().len()), "waits": waits,
               "readUnits": units.read, "writeUnits": units.written }))
}

/// Waits for the next window of the rate limit when little is left of this one: the first request in it would have to read
/// the one before.
async fn early_in_a_window() {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() % 60;
    if elapsed >= 45 {
        tokio::time::sleep(Duration::from_secs(60 - elapsed)).await;
    }
}

fn phone(app: &App, coding: &'static str) -> Result<Phone, Failure> {
    let token = format!("Bearer {}", token::issue(&demo::VERBOSE_USER.parse()?, None));
    Ok(Phone { service: app::service(app)?, token, coding })
}

/// Counts how many calls of the store came one after another: a call is one more than the longest row of calls that had
/// ended when it began. That is what a request waits for, and a slow machine does not change it, as it would change the time.
#[derive(Clone, Debug, Default)]
struct Waits(Arc<AtomicU64>);

impl Waits {
    /// The same client, counted.
    fn on(&self, client: &Client) -> Result<Client, Failure> {
        let (waits, inner) = (self.clone(), client.config().http_client().ok_or("the client has no HTTP client")?);
        let http = http_client_fn(move |settings, components| {
            SharedHttpConnector::new(Counted {
                waits: waits.clone(),
                inner: inner.http_connector(settings, components),
            })
        });
        Ok(Client::from_conf(client.config().to_builder().http_client(http).build()))
    }

    /// What was counted since the last call.
    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Counted {
    waits: Waits,
    inner: SharedHttpConnector,
}

impl HttpConnector for Counted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { waits: Waits(ended), inner } = self;
        let (ended, inner) = (Arc::clone(ended), inner.clone());
        HttpConnectorFuture::new(async move {
            let row = ended.load(Ordering::Relaxed) + 1;
            tokio::time::sleep(DELAY).await;
            let answer = inner.call(request).await;
            ended.fetch_max(row, Ordering::Relaxed);
            answer
        })
    }
}

/// Rounded up, so that the figures are the same tomorrow: times and tokens in an answer compress to a few bytes more or less.
const fn hundreds(bytes: usize) -> usize {
    bytes.div_ceil(100) * 100
}
