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

use super::{functions, operations::recorded, read};

#[test]
fn alarms_are_on_metrics_that_something_records() {
    let page = read("docs/operations.md");
    let aws = [
        (
            "AWS/ApplicationELB",
            &[
                "HTTPCode_ELB_5XX_Count",
                "HTTPCode_Target_5XX_Count",
                "RequestCount",
                "TargetResponseTime",
                "UnHealthyHostCount",
            ][..],
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

#[test]
fn every_alarm_on_aws_is_raised_by_what_it_is_for() {
    let balancer = ("LoadBalancer", "LoadBalancerName");
    let of_balancer = |name, values: &[f64]| aws("AWS/ApplicationELB", name, &[balancer], values);
    let unhealthy = |group: &str| {
        let of = [balancer, ("TargetGroup", group)];
        aws("AWS/ApplicationELB", "UnHealthyHostCount", &of, &[1.0])
    };
    let service = [("ClusterName", "Cluster"), ("ServiceName", "Service.Name")];
    let cpu = |percent: f64| aws("AWS/ECS", "CPUUtilization", &service, &[percent]);
    let answers = |errors: f64| {
        let mut metrics = of_balancer("HTTPCode_Target_5XX_Count", &[errors]);
        metrics.extend(of_balancer("RequestCount", &[100.0]));
        metrics
    };
    let mut cases: Vec<(Metrics, Vec<&str>)> =
        events().into_iter().map(|(metrics, alarm)| (metrics, vec![alarm])).collect();
    cases.extend([
        (Metrics::new(), vec![]),
        (cpu(80.0), vec![]),
        (cpu(80.5), vec!["CpuAlarm", "CpuRushAlarm"]),
        (answers(1.0), vec![]),
        (answers(2.0), vec!["ErrorRateAlarm"]),
        (of_balancer("RequestCount", &[100.0]), vec![]),
        (of_balancer("TargetResponseTime", &[1.0]), vec![]),
        (of_balancer("TargetResponseTime", &[1.5]), vec!["LatencyAlarm"]),
        // No task at all: nobody but the load balancer answers.
        (of_balancer("HTTPCode_ELB_5XX_Count", &[100.0]), vec!["UnansweredAlarm"]),
        (unhealthy("BlueTargetsFullName"), vec!["UnhealthyTargetsAlarm"]),
        (unhealthy("GreenTargetsFullName"), vec!["UnhealthyTargetsAlarm"]),
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
