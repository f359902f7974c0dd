//! Metrics, alarms, the dashboard, saved queries and the emulator's limits: the same in templates, code and documentation.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{list, load, named, resources};

use super::{code_of, functions, read};

/// What only a server records. Its metrics are fetched from it, and do not come to `CloudWatch`.
const OF_THE_CONTAINER: [&str; 4] = ["RequestsShed", "RequestsInFlight", "Connections", "ConnectionsRefused"];

/// The names of the metrics that the code records.
fn recorded() -> BTreeSet<String> {
    let code = code_of("shared/src/telemetry");
    let constants = code.lines().filter_map(|line| line.strip_prefix("const ")?.split_once(": &str = \""));
    constants.map(|(_, value)| value.trim_end_matches("\";").to_owned()).collect()
}

/// The metrics of an alarm, with their namespace and name.
fn metrics_of(alarm: &Value) -> Vec<(String, String)> {
    let properties = &alarm["Properties"];
    let math = list(&properties["Metrics"])
        .into_iter()
        .map(|metric| &metric["MetricStat"]["Metric"])
        .filter(|metric| !metric.is_null());
    let all: Vec<&Value> = if properties["MetricName"].is_null() { math.collect() } else { vec![properties] };
    all.into_iter()
        .map(|metric| (named(&metric["Namespace"]), metric["MetricName"].as_str().unwrap().to_owned()))
        .collect()
}

fn dashboard() -> String {
    let template = load("infra/observability.yaml");
    template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"].as_str().unwrap().to_owned()
}

#[test]
fn alarms_are_on_metrics_that_something_records() {
    let recorded = recorded();
    let of_aws = [
        (
            "AWS/ApplicationELB",
            &["HTTPCode_Target_5XX_Count", "RequestCount", "TargetResponseTime", "UnHealthyHostCount"][..],
        ),
        ("AWS/DynamoDB", &["ReadThrottleEvents", "WriteThrottleEvents"]),
        ("AWS/ECS", &["CPUUtilization"]),
        ("AWS/Lambda", &["Errors", "Throttles"]),
    ];
    for file in ["template.yaml", "infra/container.yaml", "infra/observability.yaml"] {
        let template = load(file);
        for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
            let tells_somebody =
                list(&alarm["Properties"]["AlarmActions"]).iter().any(|action| action["Ref"] == "AlarmTopic");
            let page = read("docs/operations.md");
            assert!(
                !tells_somebody || page.contains(&format!("`{name}`")),
                "docs/operations.md does not tell of {name}"
            );
            let metrics = metrics_of(alarm);
            assert!(!metrics.is_empty() && metrics.len() <= 10, "{name}: CloudWatch takes ten metrics in an alarm");
            for (namespace, metric) in metrics {
                let known = of_aws
                    .iter()
                    .find(|(aws, _)| *aws == namespace)
                    .map(|(_, metrics)| metrics.contains(&metric.as_str()));
                assert!(known.unwrap_or_else(|| recorded.contains(&metric)), "{name}: nothing records {metric}");
            }
            assert_eq!(alarm["Properties"]["TreatMissingData"], "notBreaching", "{name}: silence is no failure");
        }
    }
}

#[test]
fn every_metric_of_the_code_is_on_the_dashboard() {
    let dashboard = dashboard();
    for metric in recorded().into_iter().filter(|metric| !OF_THE_CONTAINER.contains(&metric.as_str())) {
        assert!(
            dashboard.contains(&format!("\"{metric}\"")) || dashboard.contains(&format!("\\\"{metric}\\\"")),
            "{metric}"
        );
    }
    let body: Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
    let widgets = body["widgets"].as_array().unwrap();
    // The lines that the dashboard draws are where the alarms are.
    let annotated = |title: &str| {
        let widget = widgets.iter().find(|widget| widget["properties"]["title"] == title).unwrap();
        widget["properties"]["annotations"]["horizontal"][0]["value"].clone()
    };
    assert_eq!(
        annotated("Error rate in percent"),
        load("template.yaml")["Resources"]["ErrorRateAlarm"]["Properties"]["Threshold"]
    );
    assert_eq!(
        annotated("Latency in ms"),
        load("infra/observability.yaml")["Resources"]["LatencyAlarm"]["Properties"]["Threshold"]
    );
    // A widget for each function and each table.
    for (_, name, _) in functions() {
        assert!(dashboard.contains(&format!("${{{name}}}")), "{name}");
    }
    for table in ["Users", "Products", "Orders", "RateLimit"] {
        assert!(dashboard.contains(&format!("${{{table}Table}}")), "{table}");
    }
}

/// An alarm on several functions or tables has all of them.
#[test]
fn sums_leave_no_function_and_no_table_out() {
    let functions: BTreeSet<String> = functions().into_iter().map(|(_, name, _)| name).collect();
    let tables = ["UsersTable", "ProductsTable", "OrdersTable", "RateLimitTable"].map(str::to_owned).into();
    for (file, name, expected) in [
        ("template.yaml", "FunctionErrorsAlarm", &functions),
        ("infra/observability.yaml", "ThrottlesAlarm", &functions),
        ("infra/observability.yaml", "TableThrottlesAlarm", &tables),
    ] {
        let template = load(file);
        let metrics = list(&template["Resources"][name]["Properties"]["Metrics"]);
        let dimensions = metrics.into_iter().filter(|metric| !metric["MetricStat"].is_null());
        let named: BTreeSet<String> =
            dimensions.map(|metric| named(&metric["MetricStat"]["Metric"]["Dimensions"][0]["Value"])).collect();
        assert_eq!(named, *expected, "{name}");
    }
}

/// A saved query names the fields that a line of the log has.
#[test]
fn saved_queries_ask_for_what_is_logged() {
    let record = code_of("shared/src/http/record.rs".trim_end_matches("/record.rs"));
    let template = load("infra/observability.yaml");
    let words = [
        "filter",
        "stats",
        "fields",
        "sort",
        "limit",
        "by",
        "as",
        "desc",
        "asc",
        "or",
        "and",
        "count",
        "sum",
        "avg",
        "pct",
        "ispresent",
        "timestamp",
        "message",
    ];
    let mut queries = 0;
    for (name, query) in resources(&template, "AWS::Logs::QueryDefinition") {
        queries += 1;
        let text = query["Properties"]["QueryString"].as_str().unwrap();
        let made: BTreeSet<&str> =
            text.split(" as ").skip(1).map(|rest| rest.split([',', ' ', '\n']).next().unwrap()).collect();
        let bare: String = text.split('\'').step_by(2).collect();
        let names = bare
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
        for field in names.filter(|word| !words.contains(word) && !made.contains(word)) {
            assert!(record.contains(field), "{name} asks for {field}, which no line has");
        }
        let title = named(&query["Properties"]["Name"]);
        let title = title.rsplit('/').next().unwrap();
        assert!(
            read("docs/operations.md").contains(&format!("**{title}**")),
            "docs/operations.md does not tell of {title}"
        );
    }
    assert!(queries >= 5, "{queries}");
}

/// What the emulator refuses is listed, and nothing else is left out of the deployment.
#[test]
fn the_emulators_limits_are_documented() {
    let script = read("scripts/estate/deploy.py");
    let (_, list) = script.split_once("REFUSED = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let page = read("docs/deployment.md");
    for kind in list.split('"').skip(1).step_by(2) {
        assert!(page.contains(&format!("`{kind}`")), "docs/deployment.md does not list {kind}");
    }
}

#[test]
fn every_parameter_is_documented() {
    let page = read("docs/deployment.md");
    let parameters = load("template.yaml")["Parameters"].as_object().unwrap().clone();
    let edge = load("infra/edge.yaml")["Parameters"].as_object().unwrap().clone();
    for (name, _) in parameters.iter().chain(&edge) {
        assert!(page.contains(&format!("`{name}`")), "docs/deployment.md does not have {name}");
    }
}
