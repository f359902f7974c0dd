//! Settings: what the templates set the code reads, and what the code reads the templates set, or leave alone for a reason.

use std::collections::{BTreeMap, BTreeSet};

use dev::settings;
use serde_json::Value;
use shared::{
    backend::aws::Aws,
    config::{Config, ConfigError, Env},
    runtime::App,
};
use tests::template::{list, load};

use super::{code_of, functions, groups, quoted, read};

/// The variables of a function, those of Globals included.
pub(super) fn variables(function: &Value) -> BTreeMap<String, Value> {
    let template = load("template.yaml");
    let common = template["Globals"]["Function"]["Environment"]["Variables"].as_object().unwrap().clone();
    let own = function["Properties"]["Environment"]["Variables"].as_object().unwrap().clone();
    common.into_iter().chain(own).collect()
}

/// The variables of the task, and those of its secrets.
pub(super) fn container_variables() -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let template = load("infra/container.yaml");
    let container = &template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0];
    let of = |section: &str, value: &str| {
        let items = list(&container[section]).into_iter();
        items.map(|item| (item["Name"].as_str().unwrap().to_owned(), item[value].clone())).collect()
    };
    (of("Environment", "Value"), of("Secrets", "ValueFrom"))
}

#[test]
fn every_variable_of_the_template_is_read_by_the_code_that_gets_it() {
    let shared = code_of("shared/src");
    let reads = |code: &str, variable: &str| {
        let known = quoted(code);
        known.contains(variable) || variable.strip_suffix("_ID").is_some_and(|base| known.contains(base))
    };
    for (group, name, function) in functions() {
        let mut code = shared.clone();
        // `home` puts the other groups together, and orders ask products.
        let manifest = read(&format!("functions/{group}/Cargo.toml"));
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let (dependencies, _) = dependencies.split_once("\n[").unwrap();
        let of_group = |known: &String| *known == group || dependencies.contains(&format!("\n{known}.workspace"));
        for part in groups().iter().filter(|known| of_group(known)) {
            code += &code_of(&format!("functions/{part}/src"));
        }
        for variable in variables(&function).keys() {
            assert!(reads(&code, variable), "{name} has {variable}, which nothing reads");
        }
    }
    let all = shared + &code_of("functions");
    let (environment, secrets) = container_variables();
    for variable in environment.keys().chain(secrets.keys()) {
        assert!(reads(&all, variable), "the container has {variable}, which nothing reads");
    }
}

/// Starts the code with the variables of the template and nothing else: what it cannot do without is there, and what
/// the template says in words of its own is valid.
#[test]
fn the_variables_of_the_template_suffice() {
    type Build = fn(&App) -> Result<(), ConfigError>;
    let groups: [(&str, Build); 5] = [
        ("users", |app| users::State::new(app).map(drop)),
        ("products", |app| products::State::new(app).map(drop)),
        ("orders", |app| orders::State::new(app).map(drop)),
        ("home", |app| home::State::new(app).map(drop)),
        ("thumbnails", |app| thumbnails::State::new(app).map(drop)),
    ];
    let parameters = load("template.yaml")["Parameters"].clone();
    let start = |variables: BTreeMap<String, Value>, build: Build| {
        let values = variables.into_iter().map(|(name, value)| (name.clone(), value_of(&name, &value, &parameters)));
        let env = values.chain([("AWS_REGION".to_owned(), "us-east-1".to_owned())]).collect::<Env>();
        let config = Config::from_env(&env)?;
        let aws = Aws::local("http://127.0.0.1:1", config.limits)?;
        build(&App::new(env, config, aws)?)
    };
    for (group, name, function) in functions() {
        let (_, build) = groups.iter().find(|(known, _)| *known == group).expect("a group of this test");
        start(variables(&function), *build).unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    }
    let (environment, secrets) = container_variables();
    let everything = environment.into_iter().chain(secrets).collect();
    start(everything, |app| container::routes(app).map(drop)).unwrap_or_else(|error| panic!("the container: {error}"));
}

/// The value that a variable has by default: that of its parameter, or what stands for something that is made.
fn value_of(name: &str, value: &Value, parameters: &Value) -> String {
    let parameter = value["Ref"].as_str().map(|parameter| &parameters[parameter]["Default"]);
    match (value, parameter) {
        (_, Some(Value::String(default))) => default.clone(),
        (_, Some(Value::Number(default))) => default.to_string(),
        (Value::String(text), _) => text.clone(),
        (Value::Number(number), _) => number.to_string(),
        // Off by default.
        _ if ["ORIGIN_SECRET_ID", "IMAGES_SECRET_ID"].contains(&name) => String::new(),
        _ if name.ends_with("_SECRET") => settings::value("JWT_SECRET").to_owned(),
        _ => format!("the-{}", name.to_lowercase().replace('_', "-")),
    }
}

/// The container gets what the functions get, but for what only one of them has a use for.
#[test]
fn the_container_has_the_settings_of_the_functions() {
    let (environment, secrets) = container_variables();
    let base = |name: &str| name.strip_suffix("_ID").unwrap_or(name).to_owned();
    let container: BTreeSet<String> = environment.keys().chain(secrets.keys()).map(|name| base(name)).collect();
    let mut functions_have = BTreeSet::new();
    for (_, _, function) in functions() {
        functions_have.extend(variables(&function).keys().map(|name| base(name)));
    }
    let only_functions: Vec<_> = functions_have.difference(&container).collect();
    assert_eq!(only_functions, ["METRICS_NAMESPACE", "REQUEST_TIMEOUT_MS"]);
    let only_container: Vec<_> = container.difference(&functions_have).collect();
    assert_eq!(only_container, ["AWS_REGION", "PORT", "TRUSTED_PROXIES"]);
    assert_eq!(environment["TRUSTED_PROXIES"], "1", "the load balancer, and nothing else");
}

/// Settings that the template leaves as they are, and why.
const LEFT_ALONE: [(&str, &[&str]); 7] = [
    (
        "the defaults fit the time limits and the sizes of the estate, which other tests compare with them",
        &[
            "BACKEND_ATTEMPT_TIMEOUT_MS",
            "BACKEND_STALE_SECONDS",
            "BACKEND_TIMEOUT_MS",
            "BODY_TIMEOUT_MS",
            "DEADLINE_MARGIN_MS",
            "DRAIN_DELAY_MS",
            "DRAIN_TIMEOUT_MS",
            "HEADER_TIMEOUT_MS",
            "HOME_PART_TIMEOUT_MS",
            "IDLE_TIMEOUT_MS",
            "MAX_CONNECTIONS",
            "MAX_IN_FLIGHT",
            "MAX_WAIT_MS",
            "METRICS_PORT",
            "RATE_LIMIT_TIMEOUT_MS",
            "STORE_ATTEMPT_TIMEOUT_MS",
            "STORE_TIMEOUT_MS",
            "WORKERS",
            "WRITE_TIMEOUT_MS",
        ],
    ),
    ("CloudFront is the cache of the estate", &["SHARED_CACHE_MS"]),
    ("there is no file in a package or an image that they could name", &["AWS_CA_BUNDLE", "BACKEND_CA_BUNDLE"]),
    ("the domain has no base path", &["BASE_PATH"]),
    ("for a terminal, and refused at AWS", &["LOG_FORMAT", "SERVER_TIMING"]),
    (
        "the packages are built without the feature",
        &["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"],
    ),
    (
        "Lambda and ECS set them, or an emulator is meant",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_DYNAMODB",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ],
    ),
];

/// A setting that the code gets is a variable here, or is left alone for a reason.
#[test]
fn every_setting_is_in_the_template_or_left_alone_for_a_reason() {
    let base =
        |name: &str| name.strip_suffix("_ID").filter(|base| base.ends_with("_SECRET")).unwrap_or(name).to_owned();
    let page = read("docs/development.md");
    let (_, table) = page.split_once("## Settings").unwrap();
    let rows = table.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let of_service = rows.filter(|line| !line.ends_with("| tests |"));
    let settings: BTreeSet<String> = of_service
        .flat_map(|line| line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2).map(base).collect::<Vec<_>>())
        .collect();
    assert!(settings.len() >= 50, "{}", settings.len());
    let (environment, secrets) = container_variables();
    let mut reached: BTreeSet<String> = environment.keys().chain(secrets.keys()).map(|name| base(name)).collect();
    for (_, _, function) in functions() {
        reached.extend(variables(&function).keys().map(|name| base(name)));
    }
    let unreached: BTreeSet<&str> = settings.difference(&reached).map(String::as_str).collect();
    let left_alone: BTreeSet<&str> = LEFT_ALONE.iter().flat_map(|(_, names)| *names).copied().collect();
    assert_eq!(unreached, left_alone);
}
