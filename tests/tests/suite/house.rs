//! What must agree between places that nothing else holds together.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The route groups: folders under `functions/` with a Lambda of their own.
pub(crate) fn groups() -> BTreeSet<String> {
    let functions = root().join("functions");
    let folders = fs::read_dir(functions).unwrap().map(|entry| entry.unwrap().path());
    let packages = folders.filter(|folder| folder.join("Cargo.toml").exists());
    let names = packages.map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "container").collect()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below some folders.
pub(crate) fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path, text));
            }
        }
    }
    sources
}

#[test]
fn every_route_group_is_in_the_container_and_in_the_watch_routes() {
    let container = read("functions/container/src/lib.rs");
    let workspace = read("Cargo.toml");
    let (_, routes) = workspace.split_once("[workspace.metadata.lambda.watch.router]").unwrap();
    let (routes, _) = routes.split_once("\n[").unwrap();
    let mut watched = BTreeSet::new();
    for line in routes.lines().filter(|line| line.starts_with('"')) {
        let (_, group) = line.split_once(" = ").unwrap();
        watched.insert(group.trim_matches('"').to_owned());
    }
    let merged: BTreeSet<String> = groups()
        .into_iter()
        .filter(|group| container.contains(&format!("{group}::router({group}::State::new(app)?)")))
        .collect();
    assert_eq!(merged, groups(), "functions/container/src/lib.rs");
    assert_eq!(watched, groups(), "[workspace.metadata.lambda.watch.router] in Cargo.toml");
}

#[test]
fn every_route_group_has_cases_and_a_thin_main() {
    for group in groups() {
        let main = read(&format!("functions/{group}/src/main.rs"));
        assert!(main.lines().count() <= 12, "{group}: a main only starts the runtime");
        assert!(main.contains(&format!("{group}::router({group}::State::new(app)?)")), "{group}");
        let doors = read(&format!("functions/{group}/tests/front_doors.rs"));
        assert!(doors.contains(&format!("front_doors!(\"{group}\")")), "{group}");
    }
}

/// A handler never sees the front door: only the runtime adapter may name `lambda_http`.
#[test]
fn only_the_adapter_knows_lambda() {
    let named = |(_, text): &(PathBuf, String)| {
        text.lines().any(|line| !line.trim().starts_with("//") && line.contains("lambda_http"))
    };
    let adapter = root().join("shared/src/runtime/lambda");
    let mut offenders: Vec<PathBuf> =
        sources(&["shared/src", "functions"]).into_iter().filter(named).map(|(path, _)| path).collect();
    offenders.retain(|path| !path.starts_with(&adapter));
    assert_eq!(offenders, Vec::<PathBuf>::new());
}

/// A function of the API starts in milliseconds: the image code is in none of them but the one that is for it.
#[test]
fn only_thumbnails_links_the_image_code() {
    for group in groups().into_iter().filter(|group| group != "thumbnails") {
        let cargo = std::process::Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", &group])
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8(cargo.stdout).unwrap();
        assert!(tree.contains("shared v"), "{group}: {}", String::from_utf8_lossy(&cargo.stderr));
        assert!(!tree.contains("thumbnails-"), "{group} links the image code");
    }
}

/// Settings are read in one place.
#[test]
fn only_the_configuration_reads_the_environment() {
    let reads = |(path, text): &(PathBuf, String)| {
        let of_the_service = !path.components().any(|part| part.as_os_str() == "tests");
        of_the_service && text.lines().any(|line| !line.trim().starts_with("//") && line.contains("env::var"))
    };
    let readers: Vec<PathBuf> =
        sources(&["shared/src", "functions"]).into_iter().filter(reads).map(|(path, _)| path).collect();
    assert_eq!(readers, [root().join("shared/src/config/env.rs")]);
}

/// The `type` of an error links to its section.
#[test]
fn every_error_code_is_documented() {
    let page = read("docs/errors.md");
    for code in shared::Code::ALL {
        let facts = code.facts();
        let anchor = facts.name.to_ascii_lowercase().replace('_', "-");
        assert!(page.contains(&format!("\n## {anchor}\n")), "docs/errors.md has no section {anchor}");
        let after = facts.retry_after.map_or(String::new(), |seconds| seconds.to_string());
        let retry = if facts.retryable { "yes" } else { "no" };
        let row = format!("| {} | [`{}`](#{anchor}) | {retry} | {after}", facts.status.as_u16(), facts.name);
        assert!(page.contains(&row), "docs/errors.md has no row {row}");
    }
}

/// Every setting that the code reads is in the table of settings, and the other way round.
#[test]
fn every_setting_is_documented() {
    let mut read_by_code = BTreeSet::new();
    for (_, text) in
        sources(&["shared/src", "functions"]).into_iter().filter(|(path, _)| !path.iter().any(|part| part == "tests"))
    {
        read_by_code.extend(settings_in(text.split("#[cfg(test)]").next().unwrap()));
    }
    let page = read("docs/development.md");
    let (_, table) = page.split_once("| variable | default |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let first_cells = table.lines().filter_map(|line| line.split('|').nth(1));
    let documented: BTreeSet<String> = first_cells.flat_map(|cell| settings_in(&cell.replace('`', "\""))).collect();
    for name in &read_by_code {
        assert!(documented.contains(name), "docs/development.md does not have {name}");
    }
    let elsewhere = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let by_tests =
        ["AWS_EMULATOR_URL", "CONTAINER", "DEPLOYED_ESTATE", "FUZZ_MUTATIONS", "FUZZ_SEED", "IMAGE", "UPDATE_GOLDEN"];
    for name in documented {
        let derived = name.strip_suffix("_ID").is_some_and(|base| read_by_code.contains(base));
        let known = elsewhere.contains(&name.as_str()) || by_tests.contains(&name.as_str());
        assert!(read_by_code.contains(&name) || derived || known, "nothing reads {name}");
    }
}

/// Quoted texts that look like environment variables.
fn settings_in(text: &str) -> Vec<String> {
    let looks_like_one = |word: &&str| {
        word.len() > 3
            && (word.contains('_') || ["CONTAINER", "IMAGE", "PORT", "WORKERS"].contains(word))
            && !word.starts_with("CARGO_")
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && !shared::Code::ALL.iter().any(|code| code.facts().name == *word)
    };
    text.split('"').skip(1).step_by(2).filter(looks_like_one).map(str::to_owned).collect()
}

#[test]
fn the_example_of_the_sync_documentation_is_one_that_compiles() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let example = words(&read("shared/examples/notes.rs"));
    let docs = read("docs/sync.md");
    let blocks: Vec<&str> = docs.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    for block in blocks {
        assert!(example.contains(&words(block)), "not in shared/examples/notes.rs:\n{block}");
    }
}
