//! What the middleware stack adds to a request, against a bare axum handler that writes the same body; and what a 304 saves.

use std::time::Instant;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    response::IntoResponse,
    routing::get,
};
use dev::{app, database::Database, demo, settings, token};
use http::{
    Request,
    header::{ACCEPT_ENCODING, AUTHORIZATION, ETAG, IF_NONE_MATCH},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::{config::Env, http::cache, runtime::App, telemetry::metrics};
use tower::ServiceExt;

use crate::{Failure, stats::quantile};

/// How much the stack may add, in microseconds, and how much cheaper a 304 must be.
const GOAL: (f64, f64) = (60.0, 3.0);
/// What the code costs shows in the runs that nothing else on the machine disturbed.
const QUIET: f64 = 0.1;
const ROUTE: &str = "/api/v2/bench";
const PAGE: &str = "/api/v2/products?limit=100&level=full";

pub(crate) async fn run(runs: usize) -> Result<(), Failure> {
    let database = Database::in_memory().await?;
    demo::prepare(&database, demo::TEST_EPOCH).await?;
    let settings: Env = settings::pairs().chain([("RATE_LIMIT_FREE", "1000000000")]).collect();
    // Log lines are made as in production, and go nowhere.
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::sink).init();
    let metrics = metrics::prometheus()?;
    let app = app::with(settings, &database.endpoint())?;
    let handler = || async { Json(body()).into_response() };
    let bare = Router::new().route(ROUTE, get(handler));
    let whole = app.service(
        Router::new()
            .route(ROUTE, cache::private(get(handler)))
            .merge(products::router(products::State::new(&app)?))
            .merge(metrics),
    );
    let token = format!("Bearer {}", token::issue(&"user-123".parse()?, None));
    let ask = |target: &'static str| Request::get(target).header(AUTHORIZATION, token.as_str());

    let (mut plain, mut stack, mut store) = (Vec::new(), Vec::new(), Vec::new());
    let (mut full, mut unmodified) = (Vec::new(), Vec::new());
    let page = || ask(PAGE).header(ACCEPT_ENCODING, "br");
    let first = whole.clone().oneshot(page().body(Body::empty())?).await?;
    let tag = first.headers().get(ETAG).ok_or("the page has no tag")?.clone();
    for _ in 0..runs {
        plain.push(time(&bare, ask(ROUTE).body(Body::empty())?, 200).await?);
        stack.push(time(&whole, ask(ROUTE).body(Body::empty())?, 200).await?);
        store.push(count(&app).await?);
        full.push(time(&whole, page().body(Body::empty())?, 200).await?);
        unmodified.push(time(&whole, page().header(IF_NONE_MATCH, &tag).body(Body::empty())?, 304).await?);
    }
    database.stop().await;

    let [plain, stack, store, full, unmodified] =
        [&plain, &stack, &store, &full, &unmodified].map(|all| quantile(all, QUIET));
    let (added, cheaper) = (stack - plain - store, full / unmodified);
    println!("| what | microseconds, first decile of {runs} |\n| --- | --- |");
    println!("| bare axum handler, {} bytes | {plain:.0} |", serde_json::to_vec(&body())?.len());
    println!("| the same in the stack | {stack:.0} |\n| of this, one UpdateItem for the rate limit | {store:.0} |");
    println!("| **added by the stack** | {added:.0} |\n| 200: 100 products in full, br | {full:.0} |");
    println!("| 304 on the same | {unmodified:.0} |\n");
    let verdict = |holds: bool| if holds { "holds" } else { "does NOT hold" };
    println!("At most {} microseconds added: {}.", GOAL.0, verdict(added <= GOAL.0));
    println!("A 304 at least {} times cheaper: {cheaper:.1} times, {}.", GOAL.1, verdict(cheaper >= GOAL.1));
    Ok(())
}

/// About as much as an ordinary page.
fn body() -> Value {
    let item = |n: u32| json!({ "id": format!("p-{n:04}"), "name": "Alpine Kettle", "price": { "amount": n, "currency": "USD" } });
    json!({ "items": (0..20).map(item).collect::<Vec<_>>() })
}

/// One request, from the head to the last byte.
async fn time(service: &Router, request: Request<Body>, status: u16) -> Result<f64, Failure> {
    let service = service.clone();
    let start = Instant::now();
    let answer = service.oneshot(request).await?;
    let given = answer.status().as_u16();
    let bytes: Bytes = answer.into_body().collect().await?.to_bytes();
    let took = start.elapsed().as_secs_f64() * 1e6;
    if given == status { Ok(took) } else { Err(format!("{given}: {}", String::from_utf8_lossy(&bytes)).into()) }
}

/// What the rate limit asks of the store, without the rate limit.
async fn count(app: &App) -> Result<f64, Failure> {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let request = app
        .aws
        .dynamodb
        .update_item()
        .table_name(settings::value("RATE_LIMIT_TABLE"))
        .key("pk", AttributeValue::S("bench".into()))
        .update_expression("SET expiresAt = if_not_exists(expiresAt, :expiresAt) ADD hits :one")
        .condition_expression("attribute_not_exists(hits) OR hits < :allowed")
        .expression_attribute_values(":expiresAt", number(1))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":allowed", number(1_000_000_000))
        .return_values(ReturnValue::UpdatedNew);
    let start = Instant::now();
    request.send().await?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}
