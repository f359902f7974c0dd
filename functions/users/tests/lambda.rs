//! The users function as a process: its start, its deadline, and events that no front door sends.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::time::Duration;

use dev::runtime_api::{InvokeError, LambdaProcess};
use serde_json::{Value, json};
use tests::{
    case::{Request, Response},
    dashboard,
    door::spawn,
    event::Source,
    metric::values_of,
    server::demo_database,
};
use tokio::net::TcpListener;

const BINARY: &str = env!("CARGO_BIN_EXE_users");
const LIMIT: Duration = Duration::from_secs(10);

fn me() -> Request {
    let target = "/api/v2/users/me".to_owned();
    Request { method: "GET".into(), target, user: Some("user-123".into()), headers: [].into(), body: None }
}

async fn ask(process: &LambdaProcess, limit: Duration) -> Response {
    let answer = process.invoke(&Source::ApigwV2.event(&me()), limit).await.expect("an answer");
    Response::of(Source::ApigwV2.answer(&answer.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_of_a_cold_start_is_served() {
    let database = demo_database().await;
    let process = spawn(BINARY.as_ref(), &database.endpoint(), []).await;
    let first = ask(&process, LIMIT).await;
    assert_eq!(first.body, json!({ "id": "user-123", "name": "John Doe", "email": "john@example.com" }));
    let second = ask(&process, LIMIT).await;
    assert_eq!((second.status, second.body), (200, first.body));
}

/// The function answers ahead of its own deadline, in the error model, and goes on to the next event.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_a_timeout_before_the_platform_ends_the_invocation() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let patient =
        [("STORE_TIMEOUT_MS", "60000"), ("STORE_ATTEMPT_TIMEOUT_MS", "60000"), ("REQUEST_TIMEOUT_MS", "60000")];
    let process = spawn(BINARY.as_ref(), &endpoint, patient).await;
    for limit in [Duration::from_millis(900), Duration::from_millis(600), Duration::from_millis(200)] {
        let answer = ask(&process, limit).await;
        assert_eq!((answer.status, &answer.body["code"]), (504, &json!("TIMEOUT")), "{limit:?}");
        assert_eq!(answer.headers["retry-after"], "5");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_another_kind_fails_alone() {
    let database = demo_database().await;
    let process = spawn(BINARY.as_ref(), &database.endpoint(), []).await;
    let mut without_path = Source::ApigwV2.event(&me());
    without_path["rawPath"] = Value::Null;
    let mut bad_base64 = Source::ApigwV2.event(&me());
    bad_base64["body"] = "!".into();
    bad_base64["isBase64Encoded"] = true.into();
    let host = |host: &str| {
        let mut event = Source::Alb.event(&me());
        event["headers"]["host"] = host.into();
        event
    };
    for strange_host in ["xn--a", "256.256.256.256", "a:99999", "[::1", ""] {
        let answer = process.invoke(&host(strange_host), LIMIT).await.expect("an answer");
        assert_eq!(Source::Alb.answer(&answer.body).status, 200, "{strange_host}: nothing depends on the host");
    }
    // What cannot be made into a request at all is still answered in the error model.
    let mut long = Source::ApigwV1.event(&me());
    long["path"] = format!("/{}", "x".repeat(70_000)).into();
    for (source, event) in [(Source::ApigwV2, bad_base64.clone()), (Source::ApigwV1, long)] {
        let answer = process.invoke(&event, LIMIT).await.expect("an answer");
        let answer = Response::of(source.answer(&answer.body));
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("VALIDATION_ERROR")));
    }
    let strange = [
        json!(null),
        json!({}),
        json!([1, 2, 3]),
        json!("text"),
        json!({ "Records": [{ "eventSource": "aws:sqs", "body": "x" }] }),
        without_path,
        bad_base64,
    ];
    for event in strange {
        match process.invoke(&event, LIMIT).await {
            Ok(answer) => assert!(answer.body["statusCode"].as_u64().is_some_and(|status| status >= 400), "{event}"),
            Err(InvokeError::Function { .. }) => {}
            Err(other) => panic!("{event}: {other}"),
        }
        assert_eq!(ask(&process, LIMIT).await.status, 200, "after {event}");
    }
}

/// A setting that is missing or wrong stops the start with a sentence that names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_stops_the_start_and_is_named() {
    let wrong = [
        ("JWT_SECRET", "short", "JWT_SECRET has 5 bytes; HS256 needs at least 32"),
        ("JWT_ISSUER", "", "JWT_ISSUER is not set"),
        ("USERS_TABLE", "", "USERS_TABLE is not set"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is \"xml\"; it must be json or text"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is \"loud\""),
        ("AWS_CA_BUNDLE", "/no/such/file", "AWS_CA_BUNDLE is \"/no/such/file\""),
        ("REQUEST_TIMEOUT_MS", "0", "REQUEST_TIMEOUT_MS is 0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT is \"collector:4318\""),
        ("BACKEND_USERS_URL", "users.internal", "BACKEND_USERS_URL is \"users.internal\""),
    ];
    for (name, value, sentence) in wrong {
        let process = spawn(BINARY.as_ref(), "http://127.0.0.1:1", [(name, value)]).await;
        let gone = process.init_duration().await.expect_err(name).to_string();
        let log = process.log().join("\n");
        assert!(gone.contains(sentence) || log.contains(sentence), "{name}: {gone}\n{log}");
    }
}

/// One JSON object a line and one line a request: everything that an operator asks for; neither token, address nor name.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_of_the_log() {
    let database = demo_database().await;
    let process = spawn(BINARY.as_ref(), &database.endpoint(), [("LOG_FORMAT", "json")]).await;
    for (id, target) in [("phone-41", "/api/v2/users/me"), ("phone-42", "/api/v2/users/me?level=full")] {
        let headers = [
            ("x-request-id", id),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678"),
            ("x-app-version", "5.2.1"),
            ("accept-encoding", "gzip, identity;q=0"),
        ];
        let mut request = Request { target: target.into(), ..me() };
        request.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        process.invoke(&Source::Alb.event(&request), LIMIT).await.unwrap();
        process.wait_for_log(LIMIT, |line| line.contains(id)).await.expect("a line");
    }
    let log = process.log();
    let lines = |id: &str| -> Vec<Value> {
        let lines = log.iter().filter(|line| line.contains(id)).map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    let ([first], [second]) = (&lines("phone-41")[..], &lines("phone-42")[..]) else {
        panic!("not one line each: {log:?}");
    };
    for (name, value) in [
        ("message", json!("request served")),
        ("level", json!("INFO")),
        ("request_id", json!("phone-41")),
        ("trace_id", json!("0af7651916cd43dd8448eb211c80319c")),
        ("method", json!("GET")),
        ("route", json!("/api/v2/users/me")),
        ("version", json!("v2")),
        ("status", json!(200)),
        ("cold_start", json!(true)),
        ("app_version", json!("5.2.1")),
        ("bytes_after", json!(62)),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    let bytes = |line: &Value, name: &str| line[name].as_u64().unwrap();
    assert!(first["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{first}");
    assert!(first["xray_trace_id"].as_str().is_some_and(|id| id.starts_with("Root=1-")), "{first}");
    assert_eq!(bytes(first, "bytes_before"), bytes(second, "bytes_after"), "the whole view, whatever is asked for");
    assert!(bytes(second, "bytes_wire") < bytes(second, "bytes_after"), "{second}");
    assert_eq!(second["cold_start"], false);
    let log = log.join("\n");
    for private in ["john@example.com", "John Doe", "Bearer", "eyJ", "local-development-only"] {
        assert!(!log.contains(private), "{private} is in the log:\n{log}");
    }
}

/// A span is with the collector before the answer is handed over, and belongs to the caller's trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span() {
    let database = demo_database().await;
    let collector = tests::collector::Collector::start().await;
    let endpoint = collector.endpoint();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("LOG_FORMAT", "json")];
    let process = spawn(BINARY.as_ref(), &database.endpoint(), settings).await;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let traced = |sampled: &str, mut request: Request| {
        request.headers.insert("traceparent".into(), format!("00-{trace}-{parent}-{sampled}"));
        Source::ApigwV2.event(&request)
    };
    process.invoke(&traced("01", me()), LIMIT).await.unwrap();
    let unknown = Request { target: "/api/v1/users/nobody".into(), ..me() };
    process.invoke(&traced("01", unknown), LIMIT).await.unwrap();
    let spans = collector.look();
    let [first, second] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((first.name.as_str(), first.service.as_str()), ("GET /api/v2/users/me", "local"));
    assert_eq!([&first.ids[0], &first.ids[2]], [&Some(trace.to_owned()), &Some(parent.to_owned())]);
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let common = [("http.request.method", "GET"), ("http.response.status_code", "200")];
    assert_eq!(
        first.attributes,
        pairs(&[common[0], common[1], ("http.route", "/api/v2/users/me"), ("bff.api_version", "v2")])
    );
    assert_eq!(second.attributes.last(), pairs(&[("error.type", "NOT_FOUND")]).last());
    assert!(!second.failed && first.ids[1] != second.ids[1] && second.name == "GET /api/v1/users/{id}", "{second:?}");
    assert!(!format!("{spans:?}").contains("user-123"), "a span has templates, never ids");
    process.wait_for_log(LIMIT, |line| line.contains(trace)).await.expect("the log names the trace");

    // What the caller does not record is not recorded here either, and the stand-in's X-Ray samples nothing.
    process.invoke(&traced("00", me()), LIMIT).await.unwrap();
    process.invoke(&Source::ApigwV2.event(&me()), LIMIT).await.unwrap();
    assert_eq!(collector.look(), []);
}

/// A collector that is not there costs no answer.
#[tokio::test(flavor = "multi_thread")]
async fn spans_without_a_collector_are_dropped() {
    let database = demo_database().await;
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("LOG_FORMAT", "json")];
    let process = spawn(BINARY.as_ref(), &database.endpoint(), settings).await;
    for _ in 0..3 {
        let mut request = me();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        request.headers.insert("traceparent".into(), parent.into());
        assert_eq!(process.invoke(&Source::ApigwV2.event(&request), LIMIT).await.unwrap().body["statusCode"], 200);
    }
    let warned = |line: &str| line.contains("spans could not be sent");
    process.wait_for_log(LIMIT, warned).await.expect("a warning");
    assert_eq!(process.log().iter().filter(|line| warned(line)).count(), 1, "then it rests");
}

/// Metrics leave before the answer is handed over, since the environment may freeze for ever after it.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_lines_that_cloudwatch_reads() {
    let database = demo_database().await;
    let settings = [("METRICS_NAMESPACE", "Test"), ("RATE_LIMIT_FREE", "3")];
    let process = spawn(BINARY.as_ref(), &database.endpoint(), settings).await;
    let nobody = Request { user: None, ..me() };
    let old = Request { target: "/api/v1/users/user-123".into(), ..me() };
    let unknown = Request { target: "/api/v2/secret-path".into(), ..me() };
    for request in [me(), me(), old.clone(), old, nobody, unknown] {
        process.invoke(&Source::ApigwV2.event(&request), LIMIT).await.unwrap();
    }
    process.wait_for_log(LIMIT, |line| line.contains("\"_aws\"") && line.contains("\"none\"")).await.expect("the last");
    let log = process.log();
    let metrics = tests::emf::read(&log);
    let of_name = |name: &str, pairs: &[(&str, &str)]| values_of(&metrics, name, pairs.iter().copied());
    let of = |route, version, status| [("route", route), ("version", version), ("status", status)];
    let me = of("/api/v2/users/me", "v2", "2xx");
    let expected = [
        ("Requests", &me[..], 2.0),
        ("BytesAfterSlimming", &me, 124.0),
        ("Requests", &of("/api/v1/users/{id}", "v1", "2xx"), 1.0),
        ("Requests", &of("/api/v1/users/{id}", "v1", "4xx"), 1.0),
        ("Requests", &of("/api/v2/users/me", "v2", "4xx"), 1.0),
        ("Requests", &of("none", "v2", "4xx"), 1.0),
        ("APIVersionUsage", &[("route", "/api/v1/users/{id}"), ("version", "v1")], 2.0),
        ("APIVersionUsage", &[("route", "/api/v2/users/me"), ("version", "v2")], 3.0),
        ("RateLimited", &[], 1.0),
        ("ColdStarts", &[], 1.0),
    ];
    for (name, pairs, value) in expected {
        let sum: f64 = of_name(name, pairs).into_iter().sum();
        assert!((sum - value).abs() < f64::EPSILON, "{name} {pairs:?}: {metrics:?}");
    }
    let latencies = of_name("Latency", &me);
    assert!(latencies.len() == 2 && latencies.iter().all(|ms| *ms > 0.0), "{latencies:?}");
    dashboard::assert_shows(&dashboard::body(true, false), &metrics);
    assert!(metrics.keys().all(|metric| metric.namespace == "Test"));
}

/// What is computed from the bytes that a request logs is computed from about as many as it does log.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_logs_as_much_as_its_cost_is_computed_from() {
    let measured: Value = serde_json::from_str(include_str!("../../../cost/measured.json")).unwrap();
    let expected = measured["logs"]["lambdaBytes"].as_f64().unwrap();
    let database = demo_database().await;
    let process = spawn(BINARY.as_ref(), &database.endpoint(), [("LOG_FORMAT", "json")]).await;
    // The first one is another: a cold start.
    let written = async |requests: usize| {
        // The last line of a request's metrics.
        let mut last = 0;
        let is_last = |line: &str| {
            last += usize::from(line.contains("\"BytesOnWire\":"));
            last == requests
        };
        process.wait_for_log(LIMIT, is_last).await.expect("metrics");
        process.log().iter().map(|line| line.len() + 1).sum::<usize>()
    };
    ask(&process, LIMIT).await;
    let before = written(1).await;
    for _ in 0..10 {
        ask(&process, LIMIT).await;
    }
    let bytes = f64::from(u32::try_from(written(11).await - before).unwrap()) / 10.0;
    assert!((bytes / expected - 1.0).abs() < 0.1, "{bytes} bytes a request, and {expected} in cost/measured.json");
}
