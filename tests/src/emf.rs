//! Lines of the embedded metric format, checked as `CloudWatch` would read them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The metrics of a log, by their names and dimensions.
pub type Metrics = BTreeMap<(String, BTreeMap<String, String>), Series>;

/// What was recorded of a metric.
#[derive(Debug, Default)]
pub struct Series {
    /// As `CloudWatch` calls it; alarms that name another one see nothing.
    pub unit: String,
    /// All values.
    pub values: Vec<f64>,
}

/// Adds values to a metric.
///
/// # Panics
/// When it has another unit already.
pub fn add(metrics: &mut Metrics, key: (String, BTreeMap<String, String>), unit: &str, values: &[f64]) {
    let series = metrics.entry(key).or_default();
    assert!(series.values.is_empty() || series.unit == unit, "{} and {unit} in one metric", series.unit);
    unit.clone_into(&mut series.unit);
    series.values.extend(values);
}

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
            for dimensions in list(&directive["Dimensions"]) {
                let dimensions: BTreeMap<_, _> =
                    names(dimensions).map(|name| (name.to_owned(), dimension(&document, name))).collect();
                for metric in list(&directive["Metrics"]) {
                    let (name, unit) = (text(&metric["Name"]), metric["Unit"].as_str().unwrap_or("None"));
                    add(&mut metrics, (name.to_owned(), dimensions.clone()), unit, &values(&document, name));
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
fn dimension(document: &Value, name: &str) -> String {
    let value = text(&document[name]);
    assert!((1..=1024).contains(&value.len()), "{name}: {value:?}");
    value.to_owned()
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
