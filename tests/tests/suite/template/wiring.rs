//! Binaries, routes, settings, secrets, ports and paths: the same in the templates and in the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dev::settings as local;
use serde_json::Value;
use shared::{config::Config, runtime::Options};
use tests::{
    case::{Case, files},
    template::{list, load, named, resources},
};

use super::{
    FILES, code_of, functions, groups, paths, quoted, read, root,
    settings::{container_variables, variables},
};

#[test]
fn every_route_group_is_a_function_and_every_function_a_route_group() {
    let functions = functions();
    let binaries: BTreeSet<String> = functions.iter().map(|(binary, ..)| binary.clone()).collect();
    assert_eq!(binaries, groups());
    let template = load("template.yaml");
    let common = &template["Globals"]["Function"];
    assert_eq!((&common["Handler"], &common["Runtime"]), (&"bootstrap".into(), &"provided.al2023".into()));
    for (binary, name, function) in functions {
        assert_eq!(name.to_lowercase(), format!("{binary}function"));
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{name}");
        assert_eq!(function["Properties"]["AutoPublishAliasAllProperties"], true, "{name}");
    }
}

/// The functions that paths lead to, by `cargo lambda watch`: `/api/v1/users/{*rest}` -> `users`.
fn watched() -> BTreeMap<String, String> {
    let workspace = read("Cargo.toml");
    let (_, routes) = workspace.split_once("[workspace.metadata.lambda.watch.router]").unwrap();
    let (routes, _) = routes.split_once("\n[").unwrap();
    let lines = routes.lines().filter_map(|line| line.split_once(" = "));
    lines.map(|(path, group)| (path.trim_matches('"').to_owned(), group.trim_matches('"').to_owned())).collect()
}

#[test]
fn both_front_doors_have_the_watch_routes() {
    let watched = watched();

    let api = load("infra/httpapi.yaml");
    let mut routes = BTreeMap::new();
    for (name, route) in resources(&api, "AWS::ApiGatewayV2::Route") {
        let key = route["Properties"]["RouteKey"].as_str().unwrap();
        let path = match key {
            "$default" => "/{*rest}".to_owned(),
            any => any.strip_prefix("ANY ").unwrap_or_else(|| panic!("{name}: {any}")).replace("{proxy+}", "{*rest}"),
        };
        let target = named(&route["Properties"]["Target"]);
        let group = target.strip_prefix("integrations/").unwrap().strip_suffix("Integration").unwrap().to_lowercase();
        routes.insert(path, group);
    }
    assert_eq!(routes, watched, "infra/httpapi.yaml");
    for (name, integration) in resources(&api, "AWS::ApiGatewayV2::Integration") {
        let group = name.strip_suffix("Integration").unwrap();
        assert_eq!(integration["Properties"]["IntegrationUri"]["Ref"], format!("{group}Function"));
        assert_eq!(integration["Properties"]["PayloadFormatVersion"], "2.0", "{name}");
        assert_eq!(
            api["Resources"][format!("{group}Permission")]["Properties"]["FunctionName"]["Ref"],
            format!("{group}Function")
        );
    }

    let balancer = load("infra/balancer.yaml");
    let targets = |forward: &Value| -> Vec<String> {
        list(&forward["ForwardConfig"]["TargetGroups"])
            .into_iter()
            .map(|group| named(&group["TargetGroupArn"]))
            .collect()
    };
    let mut rules = BTreeMap::new();
    for (name, rule) in resources(&balancer, "AWS::ElasticLoadBalancingV2::ListenerRule") {
        let group = name.strip_suffix("Rule").unwrap();
        assert_eq!(
            targets(&rule["Properties"]["Actions"][0]),
            [format!("{group}Targets"), "BlueTargets".into()],
            "{name}"
        );
        let lambda = &balancer["Resources"][format!("{group}Targets")]["Properties"];
        assert_eq!(lambda["Targets"][0]["Id"]["Ref"], format!("{group}Function"), "{name}");
        let attributes = &lambda["TargetGroupAttributes"][0];
        assert_eq!(
            (&attributes["Key"], &attributes["Value"]),
            (&"lambda.multi_value_headers.enabled".into(), &"true".into())
        );
        for path in list(&rule["Properties"]["Conditions"][0]["PathPatternConfig"]["Values"]) {
            rules.insert(path.as_str().unwrap().replace('*', "{*rest}"), group.to_lowercase());
        }
    }
    let listener = &balancer["Resources"]["HttpsListener"]["Properties"]["DefaultActions"][0];
    assert_eq!(targets(listener), ["HomeTargets", "BlueTargets"]);
    rules.insert("/{*rest}".into(), "home".into());
    assert_eq!(rules, watched, "infra/balancer.yaml");

    // Each group is handed to the front door under its own name.
    let template = load("template.yaml");
    for door in ["HttpApi", "Balancer"] {
        let parameters = template["Resources"][door]["Properties"]["Parameters"].as_object().unwrap();
        for (parameter, value) in parameters.iter().filter(|(name, _)| name.ends_with("Function")) {
            let value = list(value)[0];
            assert_eq!(value["Ref"], format!("{parameter}.Alias"), "{door}");
        }
    }
}

/// The group that a front door takes a path to: that of the longest route that fits.
fn leads_to<'a>(watched: &'a BTreeMap<String, String>, path: &str) -> &'a str {
    let fits = |route: &str| match route.strip_suffix("{*rest}") {
        Some(start) => path.starts_with(start) && (path.len() > start.len() || start == "/"),
        None => path == route,
    };
    let routes = watched.iter().filter(|(route, _)| fits(route));
    routes.max_by_key(|(route, _)| route.len()).map(|(_, group)| group.as_str()).unwrap()
}

/// A route that the code gets and the front doors do not lead to its function fails here.
#[test]
fn every_route_of_the_code_is_led_to_its_function() {
    let watched = watched();
    for group in groups() {
        for route in ["v1", "v2"].into_iter().flat_map(|version| paths(&group, version)) {
            let path = route.replace("{*key}", "key").replace("{id}", "id");
            assert_eq!(leads_to(&watched, &path), group, "{route}");
        }
        // And what the tests of the group ask for. What belongs to no group is answered by `home`.
        for file in files(&root().join(format!("functions/{group}/tests/cases"))) {
            let request = Case::read(&file).request;
            let path = request.path_and_query().0;
            let led = leads_to(&watched, path);
            assert!(led == group || led == "home", "{}: {path} is led to {led}", file.display());
        }
    }
}

#[test]
fn secrets_have_the_names_that_documentation_and_edge_know() {
    let data = load("infra/data.yaml");
    let names: BTreeSet<String> = resources(&data, "AWS::SecretsManager::Secret")
        .map(|(_, secret)| named(&secret["Properties"]["Name"]).replace("Prefix/", ""))
        .collect();
    let expected = ["images-secret", "jwt-secret", "oauth-client-secret", "origin-secret", "sync-secret"];
    assert_eq!(names, expected.map(str::to_owned).into());
    let template = load("template.yaml");
    assert_eq!(template["Resources"]["Data"]["Properties"]["Parameters"]["Prefix"]["Ref"], "AWS::StackName");
    assert_eq!(named(&template["Outputs"]["OriginSecret"]["Value"]), "AWS::StackName/origin-secret");
    // The header that CloudFront shows it in, and the address that it is shown for.
    let (edge, code) = (read("infra/edge.yaml"), code_of("shared/src/http"));
    assert!(edge.contains("HeaderName: X-Origin-Verify") && quoted(&code).contains("x-origin-verify"));
    assert!(edge.contains("CloudFront-Viewer-Address") && quoted(&code).contains("cloudfront-viewer-address"));
}

#[test]
fn ports_and_health_paths_are_those_of_the_server() {
    let server = code_of("shared/src/runtime");
    assert!(server.contains("\"PORT\", 8080"), "the port that the templates have");
    let container = load("infra/container.yaml");
    let definition = &container["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0];
    assert_eq!(container_variables().0["PORT"], "8080");
    assert_eq!(definition["PortMappings"][0]["ContainerPort"], 8080);
    assert_eq!(container["Resources"]["Service"]["Properties"]["LoadBalancers"][0]["ContainerPort"], 8080);
    let network = load("infra/network.yaml");
    for rule in ["BalancerToTasks", "TasksFromBalancer"] {
        let properties = &network["Resources"][rule]["Properties"];
        assert_eq!((&properties["FromPort"], &properties["ToPort"]), (&8080.into(), &8080.into()), "{rule}");
    }
    let balancer = load("infra/balancer.yaml");
    let routes = code_of("shared/src");
    for group in ["BlueTargets", "GreenTargets"] {
        let properties = &balancer["Resources"][group]["Properties"];
        assert_eq!(properties["Port"], 8080, "{group}");
        let path = properties["HealthCheckPath"].as_str().unwrap();
        assert!(routes.contains(&format!(".route(\"{path}\"")), "{group}: the server has no route {path}");
    }
    // Metrics are for Prometheus inside the VPC, and no rule of the load balancer leads there.
    assert!(!read("infra/balancer.yaml").contains("/metrics"));
}

/// A service keeps its controller for life: another name makes `CloudFormation` replace it.
#[test]
fn another_way_to_exchange_tasks_is_another_service() {
    let container = load("infra/container.yaml");
    let service = &container["Resources"]["Service"]["Properties"];
    let (name, kind) = (&service["ServiceName"]["Fn::If"], &service["DeploymentController"]["Type"]["Fn::If"]);
    assert_eq!((&name[0], &kind[0]), (&"IsRolling".into(), &"IsRolling".into()));
    assert!(name[1] != name[2] && kind[1] != kind[2], "{name} {kind}");
}

/// The timeouts stand in the order in which they have to come: the service, then the platform, then the front door.
#[test]
fn the_service_answers_before_the_platform_does() {
    let template = load("template.yaml");
    let common = template["Globals"]["Function"]["Timeout"].as_u64().unwrap();
    let default = Config::from_env(&local::pairs().collect()).unwrap().limits;
    for (_, name, function) in functions() {
        let platform = function["Properties"]["Timeout"].as_u64().unwrap_or(common) * 1000;
        let own = variables(&function).get("REQUEST_TIMEOUT_MS").and_then(|ms| ms.as_str()?.parse().ok());
        let request = own.unwrap_or(u64::try_from(default.request.as_millis()).unwrap());
        let margin = u64::try_from(default.deadline_margin.as_millis()).unwrap();
        assert!(request + margin < platform, "{name}: {request} ms and {margin} ms, of {platform} ms");
        assert!(platform < 29_000, "{name}: an HTTP API waits for 30 s");
    }
}

/// A task that is told to stop answers what it has begun, and the load balancer never meets a connection that closes.
#[test]
fn tasks_have_the_time_that_the_server_takes() {
    let server = Options::default();
    let (container, balancer) = (load("infra/container.yaml"), load("infra/balancer.yaml"));
    let definition = &container["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0];
    let stop = Duration::from_secs(definition["StopTimeout"].as_u64().unwrap());
    assert!(stop > server.drain_delay + server.drain_timeout, "the server would be killed while it drains");
    let attribute = |resource: &str, list_of: &str, key: &str| {
        let attributes = list(&balancer["Resources"][resource]["Properties"][list_of]);
        let value = attributes.into_iter().find(|attribute| attribute["Key"] == key).unwrap()["Value"].as_str();
        Duration::from_secs(value.unwrap().parse().unwrap())
    };
    let idle = attribute("LoadBalancer", "LoadBalancerAttributes", "idle_timeout.timeout_seconds");
    assert!(idle < server.idle_timeout, "the load balancer would send requests into connections that close");
    let request = Config::from_env(&local::pairs().collect()).unwrap().limits.request;
    assert!(idle > request, "the load balancer would answer in place of the service");
    for group in ["BlueTargets", "GreenTargets"] {
        let delay = attribute(group, "TargetGroupAttributes", "deregistration_delay.timeout_seconds");
        assert!(delay > request && delay <= server.drain_delay + server.drain_timeout, "{group}");
    }
    // The program asks itself, under the name that the image has for it.
    let command: Vec<_> =
        list(&definition["HealthCheck"]["Command"]).into_iter().map(|word| word.as_str().unwrap()).collect();
    let [kind, program, flag] = command[..] else { panic!("{command:?}") };
    assert_eq!(kind, "CMD", "there is no shell");
    assert!(read("functions/container/Dockerfile").contains(&format!("ENTRYPOINT [\"{program}\"]")));
    assert!(quoted(&code_of("shared/src/runtime")).contains(flag));
}

/// Every exception from checkov says why.
#[test]
fn every_suppression_has_a_reason() {
    for file in FILES {
        for (name, resource) in load(file)["Resources"].as_object().unwrap() {
            for skip in list(&resource["Metadata"]["checkov"]["skip"]) {
                let reason = skip["comment"].as_str().unwrap_or_default();
                assert!(reason.split_whitespace().count() >= 2, "{file}: {name} skips {} without a reason", skip["id"]);
            }
        }
    }
}
