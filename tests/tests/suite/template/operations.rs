//! Metrics, the dashboard, saved queries and the emulator's limits: the same in templates, code and documentation.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{
    alarm, dashboard,
    template::{list, load, named, resources},
};

use super::{code_of, functions, read};

/// What only a server records. Its metrics are fetched from it, and do not come to `CloudWatch`.
const OF_THE_CONTAINER: [&str; 4] = ["RequestsShed", "RequestsInFlight", "Connections", "ConnectionsRefused"];

/// The names of the metrics that the code records.
pub(super) fn recorded() -> BTreeSet<String> {
    let code = code_of("shared/src/telemetry");
    let constants = code.lines().filter_map(|line| line.strip_prefix("const ")?.split_once(": &str = \""));
    constants.map(|(_, value)| value.trim_end_matches("\";").to_owned()).collect()
}

/// Names of the metrics in a namespace that a dashboard shows.
fn shown_of(body: &Value, namespace: &str) -> BTreeSet<String> {
    let shown = dashboard::shown(body).into_iter();
    shown.filter(|(found, ..)| found == namespace).map(|(_, name, _)| name).collect()
}

/// With functions every metric of the code; with tasks alone what the filters draw, and nothing that would stay empty.
#[test]
fn the_dashboard_shows_what_is_recorded() {
    let (functions, tasks) = (dashboard::body(true, false), dashboard::body(false, true));
    let container = load("infra/container.yaml");
    let drawn: BTreeSet<String> = resources(&container, "AWS::Logs::MetricFilter")
        .map(|(_, filter)| named(&list(&filter["Properties"]["MetricTransformations"])[0]["MetricName"]))
        .collect();
    let of_functions: BTreeSet<String> =
        recorded().into_iter().filter(|name| !OF_THE_CONTAINER.contains(&name.as_str())).collect();
    assert_eq!(shown_of(&functions, "${Namespace}"), of_functions);
    assert_eq!(shown_of(&tasks, "${Namespace}"), drawn);
    assert!(shown_of(&functions, "AWS/ECS").is_empty() && shown_of(&functions, "AWS/ApplicationELB").is_empty());
    assert!(shown_of(&tasks, "AWS/Lambda").is_empty());
    let both = dashboard::shown(&dashboard::body(true, true));
    assert!(dashboard::shown(&functions).union(&dashboard::shown(&tasks)).all(|metric| both.contains(metric)));
    // What alarms are on can be looked at.
    for (name, alarm) in alarm::of_aws() {
        let known = |(namespace, metric): &(String, String)| both.iter().any(|(n, m, _)| (n, m) == (namespace, metric));
        assert!(alarm.metrics().iter().all(known), "{name}");
    }
}

/// The lines that the dashboard draws are where the alarms are.
#[test]
fn the_dashboard_draws_the_thresholds() {
    let body = dashboard::body(true, true);
    let widgets = body["widgets"].as_array().unwrap();
    let annotated = |title: &str| {
        let widget = widgets.iter().find(|widget| widget["properties"]["title"] == title).unwrap();
        widget["properties"]["annotations"]["horizontal"][0]["value"].clone()
    };
    for (title, file, alarm) in [
        ("Error rate in percent", "template.yaml", "ErrorRateAlarm"),
        ("Latency in ms", "infra/observability.yaml", "LatencyAlarm"),
        ("Tasks: CPU and memory in percent", "infra/container.yaml", "CpuAlarm"),
        ("Load balancer: latency in seconds", "infra/container.yaml", "LatencyAlarm"),
    ] {
        assert_eq!(annotated(title), load(file)["Resources"][alarm]["Properties"]["Threshold"], "{title}");
    }
}

/// A line for each function, each table and each index.
#[test]
fn the_dashboard_leaves_nothing_out() {
    let body = dashboard::body(true, true).to_string();
    for (_, name, _) in functions() {
        assert!(body.contains(&format!("${{{name}}}")), "{name}");
    }
    for (table, resource) in resources(&load("infra/data.yaml"), "AWS::DynamoDB::Table") {
        assert!(body.contains(&format!("${{{table}}}")), "{table}");
        for index in list(&resource["Properties"]["GlobalSecondaryIndexes"]) {
            let index = named(&index["IndexName"]);
            assert!(body.contains(&format!("\"GlobalSecondaryIndexName\",\"{index}\"")), "{index}");
        }
    }
}

/// Lambda lets through what the service logs, and metrics at every level that there is.
#[test]
fn lambda_keeps_what_the_service_logs() {
    let template = load("template.yaml");
    let level = &template["Globals"]["Function"]["LoggingConfig"]["ApplicationLogLevel"]["Fn::FindInMap"];
    assert_eq!((&level[0], &level[1]["Ref"], &level[2]), (&"LogLevels".into(), &"LogLevel".into(), &"Lambda".into()));
    for word in list(&template["Parameters"]["LogLevel"]["AllowedValues"]) {
        let word = word.as_str().unwrap();
        assert!(["info", "debug", "trace"].contains(&word), "{word} drops the lines without a level: metrics");
        assert_eq!(template["Mappings"]["LogLevels"][word]["Lambda"], word.to_uppercase());
    }
}

/// `CloudFront` would keep any of these for ten seconds, and give one user's to everybody.
#[test]
fn the_edge_keeps_no_error() {
    let edge = load("infra/edge.yaml");
    let config = &edge["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
    let kept: Vec<_> = list(&config["CustomErrorResponses"])
        .into_iter()
        .map(|error| (error["ErrorCode"].as_u64().unwrap(), error["ErrorCachingMinTTL"].as_u64().unwrap()))
        .collect();
    // All that a distribution may name.
    assert_eq!(kept, [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504].map(|code| (code, 0)));
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
        // Lines of metrics have a route and a version, too.
        let filter = text.lines().next().unwrap_or_default();
        let asks_for_requests =
            ["duration_ms", "cold_start"].map(|field| filter.contains(&format!("ispresent({field})")));
        assert!(
            !text.contains("count(*)") || asks_for_requests.contains(&true),
            "{name} counts lines of metrics as well"
        );
        let groups: Vec<_> = list(&query["Properties"]["LogGroupNames"]).into_iter().map(named).collect();
        assert_eq!(groups, ["FunctionsLogGroup", "TasksLogGroup"], "{name}");
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
