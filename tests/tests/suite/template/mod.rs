//! `template.yaml` and the code: what nothing else holds together.

mod commands;
mod grants;
mod operations;
mod tables;
mod wiring;

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{load, resources};

use crate::house::{groups, read, root, sources};

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
