//! Each alarm on the service's own metrics: raised through the code, and silent while all is well.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use dev::runtime_api::LambdaProcess;
use serde_json::Value;
use tests::{
    alarm::{breaches, is_on_own_metrics},
    case::Request,
    door::spawn,
    emf::{self, Metrics},
    event::Source,
    server::demo_database,
    template::{load, resources},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

const BINARY: &str = env!("CARGO_BIN_EXE_users");
const LIMIT: Duration = Duration::from_secs(30);
/// What alarms are on is written, whatever else is logged.
const SILENT: (&str, &str) = ("LOG_LEVEL", "off");

/// The alarms of all templates that are on the service's own metrics.
fn alarms() -> BTreeMap<String, Value> {
    let mut alarms = BTreeMap::new();
    for file in ["template.yaml", "infra/container.yaml", "infra/observability.yaml"] {
        let template = load(file);
        let own = resources(&template, "AWS::CloudWatch::Alarm").filter(|(_, alarm)| is_on_own_metrics(alarm));
        alarms.extend(own.map(|(name, alarm)| (name.to_owned(), alarm.clone())));
    }
    alarms
}

/// What a function has recorded after so many requests.
async fn metrics_after(process: &LambdaProcess, requests: usize) -> Metrics {
    let target = "/api/v2/users/me".to_owned();
    let request =
        Request { method: "GET".into(), target, user: Some("user-123".into()), headers: [].into(), body: None };
    let event = Source::ApigwV2.event(&request);
    for _ in 0..requests {
        process.invoke(&event, LIMIT).await.expect("an answer");
    }
    emf::read(&process.log())
}

/// A way to the store that takes a while.
async fn slow(upstream: String, delay: Duration) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let mut store = TcpStream::connect(upstream).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut store).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alarm_is_raised_by_what_it_is_for_and_by_nothing_else() {
    let alarms = alarms();
    let database = demo_database().await;
    let store = database.endpoint();
    let mut raised = BTreeMap::new();
    let over = |metrics: &Metrics| -> Vec<String> {
        alarms.iter().filter(|(_, alarm)| breaches(alarm, metrics)).map(|(name, _)| name.clone()).collect()
    };

    let process = spawn(BINARY.as_ref(), &store, [SILENT]).await;
    let calm = metrics_after(&process, 20).await;
    assert_eq!(over(&calm), Vec::<String>::new(), "all is well");

    // Without the table of users, and with that of the counters.
    let process = spawn(BINARY.as_ref(), &store, [SILENT, ("USERS_TABLE", "not-there")]).await;
    raised.insert("ErrorRateAlarm", over(&metrics_after(&process, 3).await));

    let process = spawn(BINARY.as_ref(), &store, [SILENT, ("RATE_LIMIT_TABLE", "not-there")]).await;
    raised.insert("RateLimitDegradedAlarm", over(&metrics_after(&process, 3).await));

    let process = spawn(BINARY.as_ref(), &store, [SILENT, ("RATE_LIMIT_FREE", "1")]).await;
    raised.insert("RateLimitedAlarm", over(&metrics_after(&process, 1002).await));

    let patient = [
        SILENT,
        ("STORE_TIMEOUT_MS", "60000"),
        ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
        ("RATE_LIMIT_TIMEOUT_MS", "60000"),
        ("REQUEST_TIMEOUT_MS", "60000"),
    ];
    let process = spawn(BINARY.as_ref(), &slow(store, Duration::from_millis(1500)).await, patient).await;
    raised.insert("LatencyAlarm", over(&metrics_after(&process, 1).await));

    for (name, over) in &raised {
        assert_eq!(over, &[(*name).to_owned()], "what raises {name}");
    }
    assert_eq!(
        raised.keys().copied().collect::<Vec<_>>(),
        alarms.keys().collect::<Vec<_>>(),
        "an alarm without a test"
    );
}
