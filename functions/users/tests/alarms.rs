//! Each alarm on the service's own metrics: raised through the code, and silent while all is well.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use dev::runtime_api::LambdaProcess;
use tests::{
    alarm,
    case::Request,
    door::spawn,
    emf,
    event::Source,
    metric::Metrics,
    server::{demo_database, slow},
    template,
};

const BINARY: &str = env!("CARGO_BIN_EXE_users");
const LIMIT: Duration = Duration::from_secs(30);
/// What alarms are on is written, whatever else is logged.
const SILENT: (&str, &str) = ("LOG_LEVEL", "off");

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

#[tokio::test(flavor = "multi_thread")]
async fn every_alarm_is_raised_by_what_it_is_for_and_by_nothing_else() {
    let database = demo_database().await;
    let (store, alarms, namespace) = (database.endpoint(), alarm::own(), template::namespace());
    let silent = [SILENT, ("METRICS_NAMESPACE", namespace.as_str())];
    let raised_by = |metrics: &Metrics| alarm::raised(&alarms, metrics);
    let mut raised = BTreeMap::new();

    let process = spawn(BINARY.as_ref(), &store, silent).await;
    let calm = metrics_after(&process, 20).await;
    assert_eq!(raised_by(&calm), Vec::<String>::new(), "all is well");

    // Without the table of users, and with that of the counters.
    let process = spawn(BINARY.as_ref(), &store, [silent[0], silent[1], ("USERS_TABLE", "not-there")]).await;
    raised.insert("ErrorRateAlarm", raised_by(&metrics_after(&process, 3).await));

    let process = spawn(BINARY.as_ref(), &store, [silent[0], silent[1], ("RATE_LIMIT_TABLE", "not-there")]).await;
    raised.insert("RateLimitDegradedAlarm", raised_by(&metrics_after(&process, 3).await));

    let process = spawn(BINARY.as_ref(), &store, [silent[0], silent[1], ("RATE_LIMIT_FREE", "1")]).await;
    raised.insert("RateLimitedAlarm", raised_by(&metrics_after(&process, 1002).await));

    let patient = [
        silent[0],
        silent[1],
        ("STORE_TIMEOUT_MS", "60000"),
        ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
        ("RATE_LIMIT_TIMEOUT_MS", "60000"),
        ("REQUEST_TIMEOUT_MS", "60000"),
    ];
    let process = spawn(BINARY.as_ref(), &slow(&store, Duration::from_millis(1500)).await, patient).await;
    raised.insert("LatencyAlarm", raised_by(&metrics_after(&process, 1).await));

    for (name, over) in &raised {
        assert_eq!(over, &[(*name).to_owned()], "what raises {name}");
    }
    assert_eq!(
        raised.keys().copied().collect::<Vec<_>>(),
        alarms.keys().collect::<Vec<_>>(),
        "an alarm without a test"
    );
}
