//! Alarms: on metrics that are there, raised by what they are for, and for as long as they say.
//!
//! Those on the service's own metrics are raised through the code, in `functions/users/tests/alarms.rs` and
//! `functions/container/tests/suite/alarms.rs`. What AWS would record for the others is written down here.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{
    alarm,
    metric::{Metric, Metrics, dimensions},
    template::{list, load, named, namespace, resources},
};

use super::{FILES, functions, operations::recorded, read};

#[test]
fn alarms_are_on_metrics_that_something_records() {
    let page = read("docs/operations.md");
    let aws = [
        ("AWS/ApiGateway", &["5xx", "Count"][..]),
        (
            "AWS/ApplicationELB",
            &[
                "HTTPCode_ELB_5XX_Count",
                "HTTPCode_Target_5XX_Count",
                "RequestCount",
                "TargetResponseTime",
                "UnHealthyHostCount",
            ],
        ),
        ("AWS/DynamoDB", &["ReadThrottleEvents", "WriteThrottleEvents"]),
        ("AWS/ECS", &["CPUUtilization"]),
        ("AWS/Lambda", &["Errors", "Throttles"]),
    ];
    for (name, alarm) in alarm::own().into_iter().chain(alarm::of_aws()) {
        let tells_somebody = list(&alarm.properties["AlarmActions"]).iter().any(|action| action["Ref"] == "AlarmTopic");
        assert!(!tells_somebody || page.contains(&format!("`{name}`")), "docs/operations.md does not tell of {name}");
        let metrics = alarm.metrics();
        assert!(!metrics.is_empty() && metrics.len() <= 10, "{name}: CloudWatch takes ten metrics in an alarm");
        for (found, metric) in metrics {
            let of_aws = aws.iter().find(|(namespace, _)| *namespace == found).map(|(_, names)| *names);
            let known = of_aws.map_or_else(
                || found == namespace() && recorded().contains(&metric),
                |names| names.contains(&metric.as_str()),
            );
            assert!(known, "{name}: nothing records {found} {metric}");
        }
        assert_eq!(alarm.properties["TreatMissingData"], "notBreaching", "{name}: silence is no failure");
    }
}

/// Periods are as long together as the description says; one minute where it says nothing.
#[test]
fn alarms_take_as_long_as_they_say() {
    let minutes = [("a minute", 1), ("three minutes", 3), ("five minutes", 5), ("ten minutes", 10)];
    for (name, alarm) in alarm::own().into_iter().chain(alarm::of_aws()) {
        let properties = &alarm.properties;
        let text = properties["AlarmDescription"].as_str().unwrap();
        let said = minutes.iter().find(|(words, _)| text.contains(&format!("for {words}"))).map_or(1, |(_, n)| *n);
        let mut periods: BTreeSet<u64> = list(&properties["Metrics"])
            .into_iter()
            .filter_map(|query| query["MetricStat"]["Period"].as_u64())
            .chain(properties["Period"].as_u64())
            .collect();
        let period = periods.pop_first().unwrap();
        assert!(periods.is_empty(), "{name}: periods of different lengths");
        let whole = period * properties["EvaluationPeriods"].as_u64().unwrap();
        assert_eq!(whole, said * 60, "{name}: {text}");
    }
}

/// A metric of AWS with these values, and nothing else.
fn aws(namespace: &str, name: &str, of: &[(&str, &str)], values: &[f64]) -> Metrics {
    let dimensions = dimensions(of.iter().copied());
    let metric = Metric { namespace: namespace.into(), name: name.into(), dimensions, unit: None };
    [(metric, values.to_vec())].into()
}

/// What raises `FunctionErrorsAlarm`, `ThrottlesAlarm` and `TableThrottlesAlarm`: one event, at whichever it is.
fn events() -> Vec<(Metrics, &'static str)> {
    let mut events = Vec::new();
    for (_, function, _) in functions() {
        let of = [("FunctionName", function.as_str())];
        events.push((aws("AWS/Lambda", "Errors", &of, &[1.0]), "FunctionErrorsAlarm"));
        events.push((aws("AWS/Lambda", "Throttles", &of, &[1.0]), "ThrottlesAlarm"));
    }
    for (table, resource) in resources(&load("infra/data.yaml"), "AWS::DynamoDB::Table") {
        let of_table = ("TableName", table);
        for name in ["ReadThrottleEvents", "WriteThrottleEvents"] {
            events.push((aws("AWS/DynamoDB", name, &[of_table], &[1.0]), "TableThrottlesAlarm"));
        }
        // What a table refuses at an index is not counted with the table.
        for index in list(&resource["Properties"]["GlobalSecondaryIndexes"]) {
            let index = named(&index["IndexName"]);
            let of = [of_table, ("GlobalSecondaryIndexName", &index)];
            events.push((aws("AWS/DynamoDB", "ReadThrottleEvents", &of, &[1.0]), "TableThrottlesAlarm"));
        }
    }
    events
}

/// Metrics of a target group of the tasks.
fn of_tasks(group: &str, name: &str, values: &[f64]) -> Metrics {
    aws("AWS/ApplicationELB", name, &[("LoadBalancer", "LoadBalancerName"), ("TargetGroup", group)], values)
}

/// Answers of the tasks: whichever group serves, the other one has no metrics at all.
fn answers(group: &str, errors: f64) -> Metrics {
    let mut metrics = of_tasks(group, "HTTPCode_Target_5XX_Count", &[errors]);
    metrics.extend(of_tasks(group, "RequestCount", &[100.0]));
    // A hundred times as many from functions, behind the same load balancer.
    let all = [("LoadBalancer", "LoadBalancerName")];
    metrics.extend(aws("AWS/ApplicationELB", "RequestCount", &all, &[10_000.0]));
    metrics
}

/// What raises the alarms on the tasks, by whichever of their groups.
fn cases_of_tasks() -> Vec<(Metrics, Vec<&'static str>)> {
    let service = [("ClusterName", "Cluster"), ("ServiceName", "Service.Name")];
    let cpu = |percent: f64| aws("AWS/ECS", "CPUUtilization", &service, &[percent]);
    let mut cases = vec![(cpu(80.0), vec![]), (cpu(80.5), vec!["CpuAlarm", "CpuRushAlarm"])];
    for group in ["BlueTargetsFullName", "GreenTargetsFullName"] {
        cases.extend([
            (answers(group, 1.0), vec![]),
            (answers(group, 2.0), vec!["ErrorRateAlarm"]),
            (of_tasks(group, "RequestCount", &[100.0]), vec![]),
            (of_tasks(group, "TargetResponseTime", &[1.0]), vec![]),
            (of_tasks(group, "TargetResponseTime", &[1.5]), vec!["LatencyAlarm"]),
            (of_tasks(group, "UnHealthyHostCount", &[1.0]), vec!["UnhealthyTargetsAlarm"]),
        ]);
    }
    cases
}

#[test]
fn every_alarm_on_aws_is_raised_by_what_it_is_for() {
    let api = |errors: f64| {
        let of = [("ApiId", "HttpApi")];
        let mut metrics = aws("AWS/ApiGateway", "5xx", &of, &[errors]);
        metrics.extend(aws("AWS/ApiGateway", "Count", &of, &[100.0]));
        metrics
    };
    let balancer = [("LoadBalancer", "LoadBalancer.LoadBalancerFullName")];
    let unanswered = aws("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", &balancer, &[100.0]);
    let mut cases: Vec<(Metrics, Vec<&str>)> =
        events().into_iter().map(|(metrics, alarm)| (metrics, vec![alarm])).collect();
    cases.extend(cases_of_tasks());
    cases.extend([
        (Metrics::new(), vec![]),
        (api(1.0), vec![]),
        (api(2.0), vec!["FrontDoorAlarm"]),
        // Nobody but the load balancer answers.
        (unanswered, vec!["UnansweredAlarm"]),
    ]);
    let alarms = alarm::of_aws();
    for (metrics, expected) in &cases {
        assert_eq!(alarm::raised(&alarms, metrics), *expected, "{metrics:?}");
    }
    let raised: BTreeSet<&str> = cases.iter().flat_map(|(_, expected)| expected).copied().collect();
    assert_eq!(raised, alarms.keys().map(String::as_str).collect(), "an alarm without a case");
}

/// Functions and tasks record in one namespace, which is what the alarms and the dashboard look at.
#[test]
fn metrics_have_one_namespace() {
    let template = load("template.yaml");
    let parts = resources(&template, "AWS::CloudFormation::Stack").map(|(_, part)| &part["Properties"]["Parameters"]);
    let handed: Vec<&Value> = parts.map(|parameters| &parameters["Namespace"]).filter(|one| !one.is_null()).collect();
    assert_eq!(handed.len(), 2, "the tasks' filters, and the alarms and the dashboard");
    assert!(handed.into_iter().all(|one| named(one) == namespace()));
}

/// Ten cents for each metric of an alarm: those that are there by default.
#[test]
fn the_documentation_knows_what_alarms_cost() {
    let of_default = ["template.yaml", "infra/httpapi.yaml", "infra/observability.yaml"].map(load);
    let alarms = of_default.iter().flat_map(|template| resources(template, "AWS::CloudWatch::Alarm"));
    let metrics = |alarm: &Value| {
        list(&alarm["Properties"]["Metrics"]).into_iter().filter(|one| one["MetricStat"].is_object()).count()
    };
    let cents: usize = alarms.map(|(_, alarm)| metrics(alarm).max(1) * 10).sum();
    let said = format!("alarms ${}.{:02}", cents / 100, cents % 100);
    assert!(read("docs/deployment.md").contains(&said), "docs/deployment.md does not say: {said}");
}

/// An alarm in a file that is not looked at would be evaluated by nobody.
#[test]
fn every_file_with_alarms_is_looked_at() {
    let with_alarms: Vec<&str> =
        FILES.into_iter().filter(|file| resources(&load(file), "AWS::CloudWatch::Alarm").next().is_some()).collect();
    assert_eq!(sorted(with_alarms), sorted(alarm::FILES.to_vec()));
}

fn sorted(mut files: Vec<&str>) -> Vec<&str> {
    files.sort_unstable();
    files
}

/// Tasks are exchanged under the eyes of the same alarms, one way or the other.
#[test]
fn alarms_take_an_exchange_of_tasks_back() {
    let container = load("infra/container.yaml");
    let rolling = &container["Resources"]["Service"]["Properties"]["DeploymentConfiguration"]["Fn::If"];
    assert_eq!(rolling[0], "IsRolling");
    let alarms = &rolling[1]["Alarms"];
    assert_eq!((&alarms["Enable"], &alarms["Rollback"]), (&true.into(), &true.into()));
    let of_rolling: Vec<String> = list(&alarms["AlarmNames"]).into_iter().map(named).collect();
    let of_group = &container["Resources"]["CodeDeployGroup"]["Properties"]["AlarmConfiguration"]["Alarms"];
    let of_blue_green: Vec<String> = list(of_group).into_iter().map(|alarm| named(&alarm["Name"])).collect();
    assert_eq!(of_rolling, ["ErrorRateAlarm", "LatencyAlarm", "UnansweredAlarm"]);
    assert_eq!(of_rolling, of_blue_green);
}

/// Where tasks sleep at night, an alarm that nobody answers tells nobody.
#[test]
fn who_asks_at_night_wakes_nobody() {
    let properties = alarm::of_aws()["UnansweredAlarm"].properties.clone();
    assert_eq!(properties["ActionsEnabled"]["Fn::If"], serde_json::json!(["SleepsAtNight", false, true]));
    let asleep = load("infra/balancer.yaml")["Conditions"]["SleepsAtNight"]["Fn::Equals"].clone();
    assert_eq!(asleep, serde_json::json!([{ "Ref": "NightsOff" }, "on"]));
}
