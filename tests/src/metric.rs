//! Metrics as `CloudWatch` has them.

use std::collections::BTreeMap;

/// What makes two values belong to the same metric; an alarm may want a unit, so values with another one stay apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// The namespace: `AWS/Lambda`, or the service's own.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The dimensions, by their names.
    pub dimensions: BTreeMap<String, String>,
    /// The unit, such as `Milliseconds`; nothing where none was given.
    pub unit: Option<String>,
}

/// The values that metrics have got in one period.
pub type Metrics = BTreeMap<Metric, Vec<f64>>;

/// Dimensions, from their names and values.
pub fn dimensions<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// All values of the metrics with a name and these dimensions.
pub fn values_of<'a>(metrics: &Metrics, name: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<f64> {
    let dimensions = dimensions(pairs);
    let same = metrics.iter().filter(|(metric, _)| metric.name == name && metric.dimensions == dimensions);
    same.flat_map(|(_, values)| values).copied().collect()
}
