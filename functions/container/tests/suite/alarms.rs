//! Each alarm on the service's own metrics, raised by what tasks log: the template's filters draw the metrics from it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use tests::{
    alarm, dashboard, filter,
    metric::{Metrics, values_of},
    server::{demo_database, plain_client, slow},
};

use crate::container;

/// What the filters draw from the log of a container that was asked for a product so many times.
async fn metrics_after(endpoint: &str, requests: usize, settings: &[(&str, &str)]) -> Metrics {
    let mut container = container(endpoint, settings.iter().copied()).await;
    let client = plain_client();
    let get = |path: &str| client.get(format!("http://{}{path}", container.address));
    for _ in 0..requests {
        get("/api/v2/products/p-0001").send().await.unwrap();
    }
    // Many questions of a load balancer, which must not count: they would hide the errors.
    let questions = stream::iter(0..400);
    questions.for_each_concurrent(16, async |_| drop(get("/health/ready").send().await.unwrap())).await;
    get("/health/ready").header("x-app-version", "the last one").send().await.unwrap();
    container.logged(|line| line["app_version"] == "the last one").await;
    filter::metrics("infra/container.yaml", &container.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alarm_is_raised_by_the_tasks_as_well() {
    let database = demo_database().await;
    let (store, alarms) = (database.endpoint(), alarm::own());
    let raised_by = |metrics: &Metrics| alarm::raised(&alarms, metrics);
    let calm = metrics_after(&store, 20, &[]).await;
    assert_eq!(raised_by(&calm), Vec::<String>::new(), "all is well");
    let usage = [("route", "/api/v2/products/{id}"), ("version", "v2")];
    let counts = [("ServiceErrors", &[][..]), ("ServiceLatency", &[]), ("APIVersionUsage", &usage)]
        .map(|(name, dimensions)| values_of(&calm, name, dimensions.iter().copied()).len());
    assert_eq!(counts, [20; 3], "{calm:?}");
    dashboard::assert_shows(&dashboard::body(false, true), &calm);

    let mut raised = BTreeMap::new();
    let mut is_raised = |name, metrics| raised.insert(name, raised_by(&metrics));
    is_raised("ErrorRateAlarm", metrics_after(&store, 3, &[("PRODUCTS_TABLE", "not-there")]).await);
    is_raised("RateLimitDegradedAlarm", metrics_after(&store, 3, &[("RATE_LIMIT_TABLE", "not-there")]).await);
    is_raised("RateLimitedAlarm", metrics_after(&store, 1002, &[("RATE_LIMIT_FREE", "1")]).await);
    let patient = [
        ("STORE_TIMEOUT_MS", "60000"),
        ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
        ("RATE_LIMIT_TIMEOUT_MS", "60000"),
        ("REQUEST_TIMEOUT_MS", "60000"),
    ];
    let way = slow(&store, Duration::from_millis(1500)).await;
    is_raised("LatencyAlarm", metrics_after(&way, 1, &patient).await);

    for (name, over) in &raised {
        assert_eq!(over, &[(*name).to_owned()], "what raises {name}");
    }
    assert_eq!(
        raised.keys().copied().collect::<Vec<_>>(),
        alarms.keys().collect::<Vec<_>>(),
        "an alarm without a test"
    );
}
