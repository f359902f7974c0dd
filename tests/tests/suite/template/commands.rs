//! The commands of the documentation: what they name is there, and a shell can read them.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;
use tests::template::{load, named, resources};

use super::{FILES, functions, read, root};

const PAGES: [&str; 2] = ["docs/deployment.md", "docs/operations.md"];

/// The `sh` blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let text = read(page);
    let blocks: Vec<String> =
        text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(blocks.len() >= 5, "{page}: {}", blocks.len());
    blocks
}

/// All commands, with the pages that they are on; what a backslash breaks is one line again.
fn lines() -> Vec<(&'static str, String)> {
    let of_page = |page| blocks(page).join("\n").replace("\\\n", " ");
    PAGES
        .into_iter()
        .flat_map(|page| of_page(page).lines().map(|line| (page, line.to_owned())).collect::<Vec<_>>())
        .collect()
}

/// The words that follow a mark in a line, up to the first letter that is not of a name.
fn after<'a>(line: &'a str, mark: &str) -> Vec<&'a str> {
    let rests = line.split(mark).skip(1);
    rests.map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).next().unwrap()).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_shell_can_read_them() {
    for page in PAGES {
        for block in blocks(page) {
            let mut shell = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            shell.stdin.take().unwrap().write_all(block.as_bytes()).unwrap();
            assert!(shell.wait().unwrap().success(), "{page}: {block}");
        }
    }
}

#[test]
fn outputs_that_they_read_are_there() {
    let mut count = 0;
    for (ask, file) in
        [("$(output ", "template.yaml"), ("$(edge ", "infra/edge.yaml"), ("$(of_container ", "infra/container.yaml")]
    {
        let outputs = keys(&load(file)["Outputs"]);
        for (page, line) in lines() {
            for name in after(&line, ask) {
                assert!(outputs.contains(name), "{page}: {file} has no output {name}");
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn parameters_that_they_set_are_there() {
    let service = load("template.yaml")["Parameters"].clone();
    let edge = load("infra/edge.yaml")["Parameters"].clone();
    let config = read("samconfig.toml");
    let mut count = 0;
    for (page, line) in lines() {
        for environment in after(&line, "--config-env ") {
            assert!(config.contains(&format!("[{environment}.deploy.parameters]")), "{page}: {environment}");
        }
        let of_edge = line.contains("--config-env dev-edge");
        let given = line.split_once("--parameter-overrides \"").map(|(_, rest)| rest).or(line.strip_prefix("base=\""));
        for word in given.into_iter().flat_map(|given| given.split('"').next().unwrap().split_whitespace()) {
            let Some((name, value)) = word.split_once('=') else { continue };
            let parameter = if of_edge { &edge[name] } else { &service[name] };
            assert!(parameter.is_object(), "{page}: there is no parameter {name}");
            let allowed = parameter["AllowedValues"].as_array();
            assert!(allowed.is_none_or(|allowed| allowed.contains(&value.into())), "{page}: {name} is never {value}");
            count += 1;
        }
    }
    assert!(count >= 15, "{count}");
}

#[test]
fn resources_alarms_secrets_and_scripts_that_they_name_are_there() {
    let data = load("infra/data.yaml");
    let mut known: BTreeSet<String> = FILES.iter().flat_map(|file| keys(&load(file)["Resources"])).collect();
    // What SAM makes.
    known.insert("ServerlessDeploymentApplication".to_owned());
    known.extend(functions().into_iter().map(|(_, name, _)| format!("{name}DeploymentGroup")));
    let secrets: BTreeSet<String> = resources(&data, "AWS::SecretsManager::Secret")
        .map(|(_, secret)| named(&secret["Properties"]["Name"]).replace("Prefix/", ""))
        .collect();
    let mut count = 0;
    for (page, line) in lines() {
        let alarms = after(&line, "--alarm-name-prefix \"$stack-");
        let resources = after(&line, "--logical-resource-id ").into_iter().chain(after(&line, "$(resource "));
        for name in resources.chain(alarms).filter(|name| !name.is_empty()) {
            assert!(known.contains(name), "{page}: there is no {name}");
            count += 1;
        }
        for name in after(&line, "--secret-id \"$stack/") {
            assert!(secrets.contains(name), "{page}: there is no secret {name}");
            count += 1;
        }
        for name in after(&line, "scripts/") {
            assert!(root().join("scripts").join(name).exists(), "{page}: there is no script {name}");
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

/// SAM passes over `Name=` with nothing behind it, and the parameter stays as it was. Nothing is written `Name=''`.
#[test]
fn a_parameter_that_is_set_has_a_value() {
    let mut names = keys(&load("template.yaml")["Parameters"]);
    names.extend(keys(&load("infra/edge.yaml")["Parameters"]));
    let mut count = 0;
    for page in PAGES {
        let text = read(page);
        for (at, _) in text.match_indices('=') {
            let (before, value) = (&text[..at], &text[at + 1..]);
            let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
            if names.contains(name) {
                let is_set = value.starts_with(|c: char| !c.is_whitespace() && !['"', '`'].contains(&c));
                assert!(is_set, "{page}: {name}= has no value");
                count += 1;
            }
        }
    }
    assert!(count >= 40, "{count}");
}
