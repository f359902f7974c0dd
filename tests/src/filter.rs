//! Metric filters of the templates, applied as `CloudWatch` would to what a log holds.

use serde_json::Value;

use crate::{
    metric::{Metric, Metrics, dimensions},
    template::{handed, list, load, resources},
};

/// The metrics that the filters of a template draw from the lines of a log.
///
/// # Panics
/// When a filter has a form that this does not know.
pub fn metrics(file: &str, log: &[Value]) -> Metrics {
    let mut metrics = Metrics::new();
    for (_, filter) in resources(&load(file), "AWS::Logs::MetricFilter") {
        let properties = &filter["Properties"];
        let pattern = text(&properties["FilterPattern"]);
        let transformations = list(&properties["MetricTransformations"]);
        assert!(transformations.len() == 1, "CloudWatch takes one transformation of a filter");
        for line in log.iter().filter(|line| matches(pattern, line)) {
            let Some((metric, value)) = transformed(file, transformations[0], line) else { continue };
            metrics.entry(metric).or_default().push(value);
        }
    }
    metrics
}

/// What a line gives; nothing where it lacks a field that is named.
fn transformed(file: &str, transformation: &Value, line: &Value) -> Option<(Metric, f64)> {
    let pairs = list(&transformation["Dimensions"])
        .into_iter()
        .map(|dimension| Some((text(&dimension["Key"]), field(text(&dimension["Value"]), line)?.as_str()?)));
    let pairs: Option<Vec<(&str, &str)>> = pairs.collect();
    let value = text(&transformation["MetricValue"]);
    let value = if value.starts_with("$.") { field(value, line)?.as_f64()? } else { number(value) };
    let metric = Metric {
        namespace: handed(file, &transformation["MetricNamespace"]),
        name: text(&transformation["MetricName"]).to_owned(),
        dimensions: dimensions(pairs?),
        unit: transformation["Unit"].as_str().map(str::to_owned),
    };
    Some((metric, value))
}

/// `{ (TERM) && (TERM) }`, or with one term without parentheses.
fn matches(pattern: &str, line: &Value) -> bool {
    let terms = pattern.strip_prefix("{ ").and_then(|rest| rest.strip_suffix(" }")).expect("a pattern for JSON");
    terms.split(" && ").all(|term| holds(term.trim_start_matches('(').trim_end_matches(')'), line))
}

/// `$.field OPERATOR VALUE`, where a value is a number, or a text in quotes that may end with a star.
fn holds(term: &str, line: &Value) -> bool {
    let mut words = term.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{term}?"));
    let (name, operator, expected) = (word(), word(), word());
    let Some(found) = field(name, line) else { return false };
    let quoted = expected.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let same = match quoted.map(|text| (text, text.strip_suffix('*'))) {
        Some((_, Some(start))) => found.as_str().is_some_and(|found| found.starts_with(start)),
        Some((text, None)) => found == text,
        None => found.as_f64() == Some(number(expected)),
    };
    match operator {
        "=" => same,
        "!=" => !same,
        ">=" => found.as_f64().is_some_and(|found| found >= number(expected)),
        "<" => found.as_f64().is_some_and(|found| found < number(expected)),
        other => panic!("{term}: {other}?"),
    }
}

fn number(word: &str) -> f64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is not a number"))
}

/// `$.name`: a member of the line itself.
fn field<'a>(selector: &str, line: &'a Value) -> Option<&'a Value> {
    line.get(selector.strip_prefix("$.").expect("a selector")).filter(|value| !value.is_null())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
