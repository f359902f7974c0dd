//! Alarms of the templates, evaluated as `CloudWatch` would on the metrics of one period.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    metric::{Metrics, dimensions},
    template::{handed, list, load, named, resources},
};

/// The templates that have alarms; a test of the templates sees that no other has any.
pub const FILES: [&str; 5] =
    ["template.yaml", "infra/balancer.yaml", "infra/container.yaml", "infra/httpapi.yaml", "infra/observability.yaml"];

/// An alarm of a template.
#[derive(Clone, Debug)]
pub struct Alarm {
    file: &'static str,
    /// What the template says of it.
    pub properties: Value,
}

/// The alarms on metrics that the service itself records, by their names.
pub fn own() -> BTreeMap<String, Alarm> {
    all(|alarm| !alarm.is_on_aws())
}

/// The alarms on metrics that AWS records, by their names.
pub fn of_aws() -> BTreeMap<String, Alarm> {
    all(Alarm::is_on_aws)
}

fn all(is_it: impl Fn(&Alarm) -> bool) -> BTreeMap<String, Alarm> {
    let mut alarms = BTreeMap::new();
    for file in FILES {
        for (name, resource) in resources(&load(file), "AWS::CloudWatch::Alarm") {
            let alarm = Alarm { file, properties: resource["Properties"].clone() };
            if is_it(&alarm) {
                let twice = alarms.insert(name.to_owned(), alarm);
                assert!(twice.is_none(), "{name} is there twice, and one would not be looked at");
            }
        }
    }
    alarms
}

/// The names of those alarms that the metrics of a period raise.
pub fn raised(alarms: &BTreeMap<String, Alarm>, metrics: &Metrics) -> Vec<String> {
    alarms.iter().filter(|(_, alarm)| alarm.is_raised_by(metrics)).map(|(name, _)| name.clone()).collect()
}

impl Alarm {
    /// What it looks at, with the statistic of each.
    fn queries(&self) -> Vec<&Value> {
        let math = list(&self.properties["Metrics"]);
        if math.is_empty() { vec![&self.properties] } else { math }
    }

    /// The metrics that it is on: namespaces and names.
    pub fn metrics(&self) -> Vec<(String, String)> {
        let queries = self.queries().into_iter();
        let metrics =
            queries.map(|query| if query["MetricStat"].is_null() { query } else { &query["MetricStat"]["Metric"] });
        metrics
            .filter(|metric| !metric["MetricName"].is_null())
            .map(|metric| (handed(self.file, &metric["Namespace"]), named(&metric["MetricName"])))
            .collect()
    }

    fn is_on_aws(&self) -> bool {
        let mut of_aws = self.metrics().into_iter().map(|(namespace, _)| namespace.starts_with("AWS/"));
        let first = of_aws.next().expect("a metric");
        assert!(of_aws.all(|other| other == first), "{}: of both kinds", self.properties);
        first
    }

    /// Whether the metrics of one period are over the threshold. Where there are none they are not: every alarm says of
    /// missing data that it is `notBreaching`.
    fn is_raised_by(&self, metrics: &Metrics) -> bool {
        assert_eq!(self.properties["TreatMissingData"], "notBreaching");
        assert_eq!(self.properties["ComparisonOperator"], "GreaterThanThreshold");
        let threshold = self.properties["Threshold"].as_f64().expect("a threshold");
        self.value(metrics).is_some_and(|value| value > threshold)
    }

    fn value(&self, metrics: &Metrics) -> Option<f64> {
        let mut expression = None;
        let mut values = BTreeMap::new();
        for query in self.queries() {
            let stat = &query["MetricStat"];
            if let Some(text) = query["Expression"].as_str() {
                assert!(expression.replace(text).is_none(), "one expression is the alarm's");
            } else if stat.is_null() {
                let given = query["ExtendedStatistic"].as_str().or(query["Statistic"].as_str());
                return self.statistic(given.expect("a statistic"), query, &query["Unit"], metrics);
            } else {
                let given = stat["Stat"].as_str().expect("a statistic");
                let id = query["Id"].as_str().expect("an id");
                values.insert(id, self.statistic(given, &stat["Metric"], &stat["Unit"], metrics));
            }
        }
        evaluate(expression.expect("an expression"), &values)
    }

    /// A statistic over all values of a metric; nothing where there are none of that unit.
    fn statistic(&self, statistic: &str, metric: &Value, unit: &Value, metrics: &Metrics) -> Option<f64> {
        let namespace = handed(self.file, &metric["Namespace"]);
        let wanted = list(&metric["Dimensions"]);
        let wanted = wanted.iter().map(|one| (one["Name"].as_str().expect("a name"), named(&one["Value"])));
        let wanted: Vec<_> = wanted.collect();
        let wanted = dimensions(wanted.iter().map(|(name, value)| (*name, value.as_str())));
        let same = metrics.iter().filter(|(found, _)| {
            found.namespace == namespace
                && metric["MetricName"] == found.name.as_str()
                && found.dimensions == wanted
                && (unit.is_null() || unit.as_str() == found.unit.as_deref())
        });
        let mut values: Vec<f64> = same.flat_map(|(_, values)| values).copied().collect();
        values.sort_by(f64::total_cmp);
        let (last, count) = (*values.last()?, f64::from(u32::try_from(values.len()).expect("a few values")));
        Some(match statistic {
            "Sum" => values.iter().sum(),
            "SampleCount" => count,
            "Average" => values.iter().sum::<f64>() / count,
            "Maximum" => last,
            // The nearest rank: with fewer than a hundred values the largest.
            "p99" => values[values.len() * 99 / 100],
            other => panic!("no statistic {other}"),
        })
    }
}

/// Metric math, as far as the templates have it: numbers, ids, products and quotients of them, `SUM` and `MAX` of a list or
/// of `METRICS()`, and `FILL(a, 0)`. A sum leaves out what has no data; the others have none then.
fn evaluate(expression: &str, values: &BTreeMap<&str, Option<f64>>) -> Option<f64> {
    let (first, rest) = split_operand(expression);
    let mut result = operand(first, values);
    let mut rest = rest;
    while let Some(operator) = rest.chars().next() {
        let (next, after) = split_operand(&rest[1..]);
        let value = operand(next, values);
        result = match operator {
            '*' => result.zip(value).map(|(left, right)| left * right),
            // A division by nothing has no value.
            '/' => result.zip(value).filter(|(_, right)| *right != 0.0).map(|(left, right)| left / right),
            other => panic!("{expression}: no operator {other}"),
        };
        rest = after;
    }
    result
}

/// What stands in front of the first operator that is in no parentheses, and the rest from there.
fn split_operand(text: &str) -> (&str, &str) {
    let end = top_level(text, &['*', '/']).next().unwrap_or(text.len());
    (text[..end].trim(), &text[end..])
}

/// Where these characters are, outside of parentheses and brackets.
fn top_level(text: &str, wanted: &'static [char]) -> impl Iterator<Item = usize> {
    let mut depth = 0_i32;
    text.char_indices().filter_map(move |(at, c)| {
        depth += match c {
            '(' | '[' => 1,
            ')' | ']' => -1,
            _ => 0,
        };
        (depth == 0 && wanted.contains(&c)).then_some(at)
    })
}

fn operand(text: &str, values: &BTreeMap<&str, Option<f64>>) -> Option<f64> {
    let Some((function, arguments)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return text.parse().ok().or_else(|| *values.get(text).unwrap_or_else(|| panic!("{text}?")));
    };
    let terms = || -> Vec<f64> {
        if arguments == "METRICS()" {
            return values.values().copied().flatten().collect();
        }
        let list = arguments.strip_prefix('[').and_then(|list| list.strip_suffix(']')).expect("a list");
        let mut ends: Vec<usize> = top_level(list, &[',']).collect();
        ends.push(list.len());
        let starts = [0].into_iter().chain(ends.iter().map(|end| end + 1));
        starts.zip(&ends).filter_map(|(start, end)| evaluate(list[start..*end].trim(), values)).collect()
    };
    match function {
        "SUM" => terms().into_iter().reduce(|sum, term| sum + term),
        "MAX" => terms().into_iter().reduce(f64::max),
        "FILL" => {
            let (id, filler) = arguments.split_once(", ").expect("two arguments");
            values[id].or_else(|| filler.parse().ok())
        }
        other => panic!("no function {other}"),
    }
}
