//! Alarms of the templates, evaluated as `CloudWatch` would on what a log holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    emf::Metrics,
    template::{list, load, named, resources},
};

/// The alarms of all templates that are on metrics of the service, by their names.
pub fn own() -> BTreeMap<String, Value> {
    let mut alarms = BTreeMap::new();
    for file in ["template.yaml", "infra/container.yaml", "infra/observability.yaml"] {
        let template = load(file);
        let own = resources(&template, "AWS::CloudWatch::Alarm").filter(|(_, alarm)| is_on_own_metrics(alarm));
        alarms.extend(own.map(|(name, alarm)| (name.to_owned(), alarm.clone())));
    }
    alarms
}

/// The names of the alarms that the metrics of one period raise.
pub fn raised_by(metrics: &Metrics) -> Vec<String> {
    own().into_iter().filter(|(_, alarm)| breaches(alarm, metrics)).map(|(name, _)| name).collect()
}

/// The metrics that the dashboard does not draw with the dimensions that they have.
///
/// # Panics
/// When there is no dashboard.
pub fn not_on_the_dashboard(metrics: &Metrics) -> Vec<String> {
    let template = load("infra/observability.yaml");
    let dashboard = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"].as_str();
    let dashboard = dashboard.expect("a dashboard").replace("\\\"", "\"");
    let searched: BTreeSet<(String, BTreeSet<&str>)> = dashboard
        .split("SEARCH('{\"${Namespace}\",")
        .skip(1)
        .map(|rest| {
            let (dimensions, rest) = rest.split_once("} MetricName=\"").expect("a search by name");
            (rest.split('"').next().unwrap_or_default().to_owned(), dimensions.split(',').collect())
        })
        .collect();
    let drawn = |(name, dimensions): &(String, BTreeMap<String, String>)| {
        if dimensions.is_empty() {
            return dashboard.contains(&format!("[\"${{Namespace}}\", \"{name}\""));
        }
        searched.contains(&(name.clone(), dimensions.keys().map(String::as_str).collect()))
    };
    metrics.keys().filter(|key| !drawn(key)).map(|(name, dimensions)| format!("{name} {dimensions:?}")).collect()
}

/// Whether the metrics of one period are over an alarm's threshold. Where there are none they are not: every alarm says
/// of missing data that it is `notBreaching`.
fn breaches(alarm: &Value, metrics: &Metrics) -> bool {
    let properties = &alarm["Properties"];
    assert_eq!(properties["TreatMissingData"], "notBreaching");
    assert_eq!(properties["ComparisonOperator"], "GreaterThanThreshold");
    let threshold = properties["Threshold"].as_f64().expect("a threshold");
    value(properties, metrics).is_some_and(|value| value > threshold)
}

fn value(properties: &Value, metrics: &Metrics) -> Option<f64> {
    let queries = list(&properties["Metrics"]);
    if queries.is_empty() {
        let given = properties["ExtendedStatistic"].as_str().or(properties["Statistic"].as_str());
        return statistic(given.expect("a statistic"), properties, metrics);
    }
    let mut values = BTreeMap::new();
    for query in queries.iter().filter(|query| query["Expression"].is_null()) {
        let id = query["Id"].as_str().expect("an id");
        let stat = &query["MetricStat"];
        values.insert(id, statistic(stat["Stat"].as_str().expect("a statistic"), &stat["Metric"], metrics)?);
    }
    let expression = queries.iter().find_map(|query| query["Expression"].as_str()).expect("an expression");
    Some(evaluate(expression, &values))
}

/// A metric without dimensions, over all its values.
fn statistic(name: &str, metric: &Value, metrics: &Metrics) -> Option<f64> {
    assert!(metric["Dimensions"].is_null(), "{metric}: the service's alarms are on metrics without dimensions");
    let key = (metric["MetricName"].as_str().expect("a name").to_owned(), BTreeMap::new());
    let series = metrics.get(&key)?;
    if metric["Unit"].as_str().is_some_and(|unit| unit != series.unit) {
        return None;
    }
    let mut values = series.values.clone();
    values.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(values.len()).expect("a few values"));
    Some(match name {
        "Sum" => values.iter().sum(),
        "SampleCount" => count,
        // The nearest rank: with fewer than a hundred values the largest.
        "p99" => values[values.len() * 99 / 100],
        other => panic!("no statistic {other}"),
    })
}

/// Products and quotients of numbers and ids, from the left to the right.
fn evaluate(expression: &str, values: &BTreeMap<&str, f64>) -> f64 {
    let operand = |word: &str| word.parse().ok().or(values.get(word).copied()).unwrap_or_else(|| panic!("{word}?"));
    let words: Vec<&str> = expression.split_whitespace().collect();
    let (first, rest) = words.split_first().expect("an expression");
    rest.chunks(2).fold(operand(first), |sum, pair| match pair {
        ["*", word] => sum * operand(word),
        ["/", word] => sum / operand(word),
        other => panic!("{expression}: {other:?}"),
    })
}

/// Whether an alarm is on metrics that the service itself records.
fn is_on_own_metrics(alarm: &Value) -> bool {
    let properties = &alarm["Properties"];
    let of_math = list(&properties["Metrics"]).into_iter().map(|query| &query["MetricStat"]["Metric"]["Namespace"]);
    let namespace = of_math.chain([&properties["Namespace"]]).find(|namespace| !namespace.is_null());
    !named(namespace.expect("a namespace")).starts_with("AWS/")
}
