//! Each alarm on the service's own metrics, raised by what tasks log: the template's filters draw the metrics from it.

use std::{collections::BTreeMap, time::Duration};

use tests::{
    alarm::{self, raised_by},
    emf::Metrics,
    filter,
    server::{demo_database, plain_client, slow},
    template::{load, resources},
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
    for _ in 0..400 {
        get("/health/ready").send().await.unwrap();
    }
    get("/health/ready").header("x-app-version", "the last one").send().await.unwrap();
    container.logged(|line| line["app_version"] == "the last one").await;
    let template = load("infra/container.yaml");
    let filters = resources(&template, "AWS::Logs::MetricFilter").map(|(_, filter)| filter);
    filter::metrics(filters, &container.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alarm_is_raised_by_the_tasks_as_well() {
    let database = demo_database().await;
    let store = database.endpoint();
    let calm = metrics_after(&store, 20, &[]).await;
    assert_eq!(raised_by(&calm), Vec::<String>::new(), "all is well");
    let of = |name: &str, dimensions: &[(&str, &str)]| {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        calm.get(&(name.to_owned(), dimensions.collect())).map_or(0, |series| series.values.len())
    };
    assert_eq!((of("ServiceErrors", &[]), of("ServiceLatency", &[])), (20, 20), "{calm:?}");
    assert_eq!(of("APIVersionUsage", &[("route", "/api/v2/products/{id}"), ("version", "v2")]), 20, "{calm:?}");

    assert_eq!(alarm::not_on_the_dashboard(&calm), Vec::<String>::new());

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
        alarm::own().keys().collect::<Vec<_>>(),
        "an alarm without a test"
    );
}
