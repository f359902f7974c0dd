//! The dashboard of the templates.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{metric::Metrics, template::load};

/// The body of the dashboard, with the parts of functions behind an HTTP API, and of tasks behind a load balancer. What the template fills in stands
/// in it as `${Name}`.
///
/// # Panics
/// When it is not JSON.
pub fn body(functions: bool, tasks: bool) -> Value {
    let template = load("infra/observability.yaml");
    let parts = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
    let mut body = parts[0].as_str().expect("a text").to_owned();
    let parts_there = [
        ("OfFunctions", "HasFunctions", functions),
        ("OfTasks", "HasTasks", tasks),
        ("OfHttpApi", "HasHttpApi", functions),
        ("OfBalancer", "HasBalancer", tasks),
    ];
    for (name, condition, there) in parts_there {
        let choice = &parts[1][name]["Fn::If"];
        assert_eq!(choice[0], condition, "{name}");
        let part = if there { &choice[1]["Fn::Sub"] } else { &choice[2] };
        body = body.replace(&format!("${{{name}}}"), part.as_str().expect("a text"));
    }
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The metrics that a dashboard shows: namespace, name, and the names of its dimensions.
pub fn shown(body: &Value) -> BTreeSet<(String, String, BTreeSet<String>)> {
    let widgets = body["widgets"].as_array().expect("widgets");
    let rows = widgets.iter().flat_map(|widget| widget["properties"]["metrics"].as_array().expect("metrics"));
    rows.filter_map(|row| match row[0]["expression"].as_str() {
        Some(expression) => searched(expression),
        None => Some(named(row.as_array().expect("a metric"))),
    })
    .collect()
}

/// `SEARCH('{"NAMESPACE",DIMENSION,…} MetricName="NAME"', …)`; nothing where an expression only computes.
fn searched(expression: &str) -> Option<(String, String, BTreeSet<String>)> {
    let (_, rest) = expression.split_once("SEARCH('{\"")?;
    let (namespace, rest) = rest.split_once('"').expect("a namespace");
    let (dimensions, rest) = rest.split_once("} MetricName=\"").expect("a name");
    let (name, _) = rest.split_once('"').expect("a name");
    let dimensions = dimensions.split(',').filter(|dimension| !dimension.is_empty()).map(str::to_owned).collect();
    Some((namespace.to_owned(), name.to_owned(), dimensions))
}

/// `["NAMESPACE", "NAME", "DIMENSION", "VALUE", …, {…}]`.
fn named(row: &[Value]) -> (String, String, BTreeSet<String>) {
    let texts: Vec<String> = row.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    let [namespace, name, dimensions @ ..] = &texts[..] else { panic!("{row:?} is no metric") };
    (namespace.clone(), name.clone(), dimensions.iter().step_by(2).cloned().collect())
}

/// Fails when one of these metrics of the service has no place on the dashboard, or has other dimensions there.
///
/// # Panics
/// Then.
pub fn assert_shows(body: &Value, metrics: &Metrics) {
    let shown = shown(body);
    for metric in metrics.keys() {
        let dimensions = metric.dimensions.keys().cloned().collect();
        let wanted = ("${Namespace}".to_owned(), metric.name.clone(), dimensions);
        assert!(shown.contains(&wanted), "the dashboard does not show {metric:?}: {shown:?}");
    }
}
