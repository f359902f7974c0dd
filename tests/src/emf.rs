//! Lines of the embedded metric format, checked as `CloudWatch` would read them.

use serde_json::Value;

use crate::metric::{Metric, Metrics, dimensions};

/// Reads the EMF lines among the lines of a log.
///
/// # Panics
/// When one is not what the schema and the specification say.
pub fn read(log: &[String]) -> Metrics {
    let schema = serde_json::from_str(include_str!("../schemas/emf.json")).expect("the schema is JSON");
    let schema = jsonschema::validator_for(&schema).expect("the schema is one");
    let mut metrics = Metrics::new();
    for line in log.iter().filter(|line| line.contains("\"_aws\"")) {
        let document: Value = serde_json::from_str(line).expect("a line is JSON");
        if let Err(error) = schema.validate(&document) {
            panic!("{}: {error}: {line}", error.instance_path());
        }
        for directive in list(&document["_aws"]["CloudWatchMetrics"]) {
            for set in list(&directive["Dimensions"]) {
                for metric in list(&directive["Metrics"]) {
                    let metric = Metric {
                        namespace: text(&directive["Namespace"]).to_owned(),
                        name: text(&metric["Name"]).to_owned(),
                        dimensions: dimensions(names(set).map(|name| (name, dimension(&document, name)))),
                        unit: metric["Unit"].as_str().map(str::to_owned),
                    };
                    let values = values(&document, &metric.name);
                    metrics.entry(metric).or_default().extend(values);
                }
            }
        }
    }
    metrics
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn names(dimensions: &Value) -> impl Iterator<Item = &str> {
    list(dimensions).iter().map(text)
}

/// The value of a dimension is a member of the document: 1 to 1024 characters.
fn dimension<'a>(document: &'a Value, name: &str) -> &'a str {
    let value = text(&document[name]);
    assert!((1..=1024).contains(&value.len()), "{name}: {value:?}");
    value
}

/// The value of a metric is a number, or up to 100 of them.
fn values(document: &Value, name: &str) -> Vec<f64> {
    let values = match &document[name] {
        Value::Array(values) => values.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>(),
        value => value.as_f64().map(|value| vec![value]),
    };
    let values = values.unwrap_or_else(|| panic!("{name} is not a number"));
    assert!((1..=100).contains(&values.len()), "{name}: {} values", values.len());
    values
}
