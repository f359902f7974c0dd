//! `template.yaml` and the code: what nothing else holds together.

mod alarms;
mod commands;
mod edge;
mod grants;
mod operations;
mod refusals;
mod roles;
mod settings;
mod tables;
mod wiring;

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{load, resources};

use crate::house::{groups, read, root, sources};

/// All templates.
const FILES: [&str; 8] = [
    "template.yaml",
    "infra/balancer.yaml",
    "infra/container.yaml",
    "infra/data.yaml",
    "infra/edge.yaml",
    "infra/httpapi.yaml",
    "infra/network.yaml",
    "infra/observability.yaml",
];

/// The route groups that are functions, with their resources.
fn functions() -> Vec<(String, String, Value)> {
    let template = load("template.yaml");
    let all = resources(&template, "AWS::Serverless::Function");
    all.map(|(name, function)| {
        let binary = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
        (binary.to_owned(), name.to_owned(), function.clone())
    })
    .collect()
}

/// The Rust sources of a folder, without tests: what stands in front of `#[cfg(test)]`.
fn code_of(folder: &str) -> String {
    let sources = sources(&[folder]);
    sources.iter().filter_map(|(_, text)| text.split("#[cfg(test)]").next()).collect()
}

/// The texts in quotes of a source.
fn quoted(code: &str) -> BTreeSet<&str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

/// The paths that a route group gets, for one version of the API: the arguments of `.route(`. A path that is put together
/// from a variable starts with what that is set to.
fn paths(group: &str, version: &str) -> BTreeSet<String> {
    let code = code_of(&format!("functions/{group}/src"));
    assert!(!code.contains(".nest") && !code.contains("_service("), "{group} has routes that this does not see");
    let literal = |text: &str| text.split('"').nth(1).map(str::to_owned);
    let set_to = |name: &str| {
        let set = code.split_once(&format!("let {name} = ")).or_else(|| code.split_once(&format!("const {name}: ")));
        literal(set.unwrap_or_else(|| panic!("{group}: {name} is set nowhere")).1).unwrap()
    };
    let arguments = code.split(".route(").skip(1).map(|rest| rest.split_once(", ").unwrap().0);
    let paths = arguments.map(|argument| {
        let path = literal(argument).unwrap_or_else(|| set_to(argument.trim_start_matches('&')));
        let path = match path.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((name, rest)) => set_to(name) + &rest.replace("{{", "{").replace("}}", "}"),
            None => path,
        };
        assert!(path.starts_with('/'), "{group}: {argument} is no path");
        path.replace("{}", version)
    });
    paths.collect()
}
