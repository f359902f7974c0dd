//! What must agree between places that nothing else holds together.

use std::{collections::BTreeSet, fs, path::Path};

/// The route groups: folders under `functions/` with a Lambda of their own.
fn groups() -> BTreeSet<String> {
    let functions = root().join("functions");
    let folders = fs::read_dir(functions).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    folders.filter(|name| name != "container").collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
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
    let mut offenders = Vec::new();
    let mut folders = vec![root().join("shared/src"), root().join("functions")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.starts_with(root().join("shared/src/runtime/lambda"))
                && fs::read_to_string(&path)
                    .unwrap()
                    .lines()
                    .any(|line| !line.trim().starts_with("//") && line.contains("lambda_http"))
            {
                offenders.push(path);
            }
        }
    }
    assert_eq!(offenders, Vec::<std::path::PathBuf>::new());
}

/// Settings are read in one place.
#[test]
fn only_the_configuration_reads_the_environment() {
    for file in [
        "shared/src/runtime/lambda/mod.rs",
        "shared/src/runtime/mod.rs",
        "shared/src/telemetry.rs",
        "shared/src/backend/aws.rs",
    ] {
        assert!(!read(file).contains("env::var"), "{file}");
    }
    assert!(read("shared/src/config.rs").contains("env::vars_os"));
}
