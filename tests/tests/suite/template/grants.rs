//! Least privilege: what a function may do is what its code does, no less and no more.
//!
//! Every golden case of a route group goes through the service, and a recorder in front of the store, the secrets and the
//! bucket notes each call as the action that IAM would check.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request as HttpRequest, State},
    response::{IntoResponse, Response},
};
use dev::{bucket::Bucket, settings};
use http::HeaderMap;
use serde_json::{Value, json};
use tests::{
    case::{Case, Request, files},
    server::{Server, demo_database, serve},
    template::{list, load, named, resources},
};

use super::{code_of, functions, root};

/// An action and what it is done to, as `dynamodb:Query` and `ProductsTable/index/featured`.
type Grant = (String, String);

#[tokio::test(flavor = "multi_thread")]
async fn each_function_may_do_what_its_code_does_and_nothing_else() {
    let template = load("template.yaml");
    let middleware = &template["Resources"]["MiddlewarePolicy"]["Properties"]["PolicyDocument"];
    let mut everything = BTreeSet::new();
    let mut operations = BTreeSet::new();
    for (group, resource, function) in functions() {
        let policies = list(&function["Properties"]["Policies"]);
        let policies =
            policies.into_iter().map(|policy| if policy["Ref"] == "MiddlewarePolicy" { middleware } else { policy });
        let granted: BTreeSet<Grant> = policies.flat_map(grants).collect();
        let (called, by_name) = calls(&group).await;
        let missing: Vec<_> = called.difference(&granted).collect();
        assert!(missing.is_empty(), "{resource} has no grant for {missing:?}, which its code calls");
        let unused: Vec<_> = granted.difference(&called).collect();
        assert!(unused.is_empty(), "{resource} may do {unused:?}, which its code never calls");
        everything.extend(called);
        operations.extend(by_name);
    }

    // SAM's own grants name all logs of the account.
    assert_eq!(template["Globals"]["Function"]["PermissionsBoundary"]["Ref"], "FunctionBoundary");
    let boundary = grants(&template["Resources"]["FunctionBoundary"]["Properties"]["PolicyDocument"]);
    for wanted in &everything {
        assert!(boundary.iter().any(|grant| fits(grant, wanted)), "the boundary takes {wanted:?} back");
    }
    let logs: Vec<_> = boundary.iter().filter(|(action, _)| action.starts_with("logs:")).collect();
    assert!(logs.iter().all(|(_, group)| group == "LogGroup."), "{logs:?}");

    // The container does what all of them do. What ECS injects, ECS reads.
    let container = load("infra/container.yaml");
    let of = |role: &str| -> BTreeSet<Grant> {
        let policies = list(&container["Resources"][role]["Properties"]["Policies"]);
        policies.into_iter().flat_map(|policy| grants(&policy["PolicyDocument"])).collect()
    };
    let injected = ("secretsmanager:GetSecretValue".to_owned(), "SyncSecret".to_owned());
    assert_eq!(of("TaskRole"), everything.iter().filter(|grant| **grant != injected).cloned().collect());
    let started: BTreeSet<_> =
        of("ExecutionRole").into_iter().filter(|(action, _)| action.starts_with("secrets")).collect();
    assert_eq!(started, BTreeSet::from([injected]));

    // A call in the code that no case makes would be in no comparison above.
    let mut code = code_of("shared/src");
    for (group, ..) in functions() {
        code += &code_of(&format!("functions/{group}/src"));
    }
    assert_eq!(sdk_calls(&code), operations, "operations of the SDK in the code, and those that the cases have made");
}

/// The endpoints of the VPC are as narrow as the roles of the tasks, but where the network cannot know a name yet.
#[test]
fn endpoints_let_through_what_the_tasks_may_do_and_nothing_else() {
    let (container, network) = (load("infra/container.yaml"), load("infra/network.yaml"));
    let policies = |role: &str| list(&container["Resources"][role]["Properties"]["Policies"]);
    let roles = ["TaskRole", "ExecutionRole"].into_iter().flat_map(policies);
    let tasks: BTreeSet<Grant> = roles.flat_map(|policy| grants(&policy["PolicyDocument"])).collect();
    let endpoints = resources(&network, "AWS::EC2::VPCEndpoint");
    let open: BTreeSet<Grant> = endpoints.flat_map(|(_, one)| grants(&one["Properties"]["PolicyDocument"])).collect();
    let layers = ("s3:GetObject".to_owned(), "prod-AWS::Region-starport-layer-bucket/*".to_owned());
    assert!(open.contains(&layers), "ECR keeps the layers of images in a bucket of its own");

    for wanted in &tasks {
        assert!(open.iter().any(|grant| fits(grant, wanted)), "no endpoint lets {wanted:?} through");
    }
    for grant in open.iter().filter(|grant| **grant != layers) {
        assert!(tasks.iter().any(|wanted| fits(grant, wanted)), "{grant:?} passes, and no task may do it");
    }
}

/// Whether a grant covers another. A pattern that begins with `arn:` stands for what has no name yet where it is written.
fn fits((action, pattern): &Grant, (wanted, resource): &Grant) -> bool {
    let of_later = pattern.starts_with("arn:") && !wanted.starts_with("dynamodb:") && !wanted.starts_with("s3:");
    let start = pattern.strip_suffix('*').unwrap_or(pattern);
    action == wanted && (pattern == resource || of_later || (start != pattern && resource.starts_with(start)))
}

/// What a policy allows.
fn grants(policy: &Value) -> Vec<Grant> {
    let mut all = Vec::new();
    for statement in list(&policy["Statement"]) {
        assert_eq!(statement["Effect"], "Allow");
        for action in list(&statement["Action"]) {
            let action = action.as_str().unwrap();
            assert!(!action.contains('*'), "{action}: a wildcard allows what nobody has listed");
            for resource in list(&statement["Resource"]) {
                all.push((action.to_owned(), named(resource)));
            }
        }
    }
    all
}

/// Operations of the SDK's clients that the code calls, as `GetItem`.
fn sdk_calls(code: &str) -> BTreeSet<String> {
    let squeezed: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let squeezed: String = squeezed.chars().filter(|c| !c.is_whitespace()).collect();
    let names = squeezed.split("client.").skip(1).filter_map(|rest| rest.split_once("()")).map(|(name, _)| name);
    let names = names.filter(|name| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !["config", "clone"].contains(name)
    });
    names.map(|name| name.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()).collect()
}

/// What the cases of a group call: grants, and the names of operations.
async fn calls(group: &str) -> (BTreeSet<Grant>, BTreeSet<String>) {
    let database = demo_database().await;
    let bucket = Bucket::on_any_port().await.unwrap();
    let (recorder, endpoint) = Recorder::start(database.endpoint(), bucket.endpoint()).await;
    let folder = format!("{}/functions/{group}/tests/cases", root().display());
    let managed = |images| {
        [
            ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
            ("JWT_SECRET", ""),
            ("JWT_SECRET_ID", "JwtSecret"),
            ("SYNC_SECRET", ""),
            ("SYNC_SECRET_ID", "SyncSecret"),
            ("ORIGIN_SECRET_ID", "OriginSecret"),
            ("IMAGES_SECRET_ID", images),
        ]
    };
    // Where addresses of thumbnails are signed, nobody gets a picture without a signature: this group is asked both ways.
    let unsigned = group == "thumbnails";
    let server = Server::with(&endpoint, managed(if unsigned { "" } else { "ImagesSecret" }), Router::new()).await;
    for file in files(folder.as_ref()) {
        let mut request = Case::read(&file).request;
        // As CloudFront would send it.
        request.headers.insert("x-origin-verify".into(), "not the secret".into());
        server.send(&request).await;
    }
    if unsigned {
        let server = Server::with(&endpoint, managed("ImagesSecret"), Router::new()).await;
        let (target, user) = ("/images/products/p-0001.jpg?w=16".to_owned(), Some("user-1".to_owned()));
        server.send(&Request { method: "GET".into(), target, user, headers: BTreeMap::new(), body: None }).await;
    }
    recorder.seen()
}

/// Stands in front of everything that AWS would check a right for.
#[derive(Clone)]
struct Recorder {
    store: String,
    bucket: String,
    client: reqwest::Client,
    seen: Arc<Mutex<(BTreeSet<Grant>, BTreeSet<String>)>>,
}

impl Recorder {
    async fn start(store: String, bucket: String) -> (Self, String) {
        shared::backend::upstream::install_tls_provider();
        let recorder = Self { store, bucket, client: reqwest::Client::new(), seen: Arc::default() };
        let service = Router::new().fallback(record).with_state(recorder.clone());
        (recorder, serve(service).await)
    }

    fn seen(&self) -> (BTreeSet<Grant>, BTreeSet<String>) {
        self.seen.lock().unwrap().clone()
    }

    fn note(&self, action: &str, resource: impl Into<String>) {
        self.seen.lock().unwrap().0.insert((action.to_owned(), resource.into()));
    }

    fn note_store(&self, operation: &str, request: &Value) {
        if operation != "TransactWriteItems" {
            let index = request["IndexName"].as_str().map_or(String::new(), |index| format!("/index/{index}"));
            return self.note(&format!("dynamodb:{operation}"), table(request) + &index);
        }
        for item in request["TransactItems"].as_array().unwrap() {
            for (kind, request) in item.as_object().unwrap() {
                let action =
                    if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
                self.note(&format!("dynamodb:{action}"), table(request));
            }
        }
    }

    async fn pass_on(&self, method: http::Method, url: String, headers: &HeaderMap, body: Bytes) -> Response {
        let mut onward = self.client.request(method, url).body(body);
        for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
            onward = onward.header(name, value);
        }
        let answer = onward.send().await.unwrap();
        let (status, content_type) = (answer.status(), answer.headers()["content-type"].clone());
        (status, [("content-type", content_type)], Body::from(answer.bytes().await.unwrap())).into_response()
    }
}

/// `UsersTable`, by the name that it has in local development.
fn table(request: &Value) -> String {
    let name = request["TableName"].as_str().unwrap();
    let (setting, _) = settings::pairs().find(|(_, value)| *value == name).unwrap();
    let words = setting.split('_').map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase());
    words.collect()
}

async fn record(State(recorder): State<Recorder>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let Some(target) = parts.headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned()) else {
        let action = if parts.method == "GET" { "s3:GetObject".to_owned() } else { format!("s3:{}", parts.method) };
        assert!(parts.uri.path().starts_with(&format!("/{}/", settings::value("IMAGES_BUCKET"))));
        recorder.note(&action, "ImagesBucket/*");
        let url = format!("{}{}", recorder.bucket, parts.uri);
        return recorder.pass_on(parts.method, url, &parts.headers, body).await;
    };
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let (service, operation) = target.split_once('.').unwrap();
    recorder.seen.lock().unwrap().1.insert(operation.to_owned());
    if service == "secretsmanager" {
        let id = asked["SecretId"].as_str().unwrap();
        recorder.note(&format!("secretsmanager:{operation}"), id);
        let value = settings::value(if id == "SyncSecret" { "SYNC_SECRET" } else { "JWT_SECRET" });
        return Json(json!({ "Name": id, "SecretString": value })).into_response();
    }
    recorder.note_store(operation, &asked);
    recorder.pass_on(parts.method, recorder.store.clone(), &parts.headers, body).await
}
