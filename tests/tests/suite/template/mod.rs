//! `template.yaml` and the code: what nothing else holds together.

mod grants;
mod operations;
mod tables;
mod wiring;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use tests::template::{load, resources};

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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust sources of a folder, without tests: what stands in front of `#[cfg(test)]`.
fn code_of(folder: &str) -> String {
    let mut code = String::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                code.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
    }
    code
}

/// The texts in quotes of a source.
fn quoted(code: &str) -> BTreeSet<&str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}
