//! Parity: every golden case gets the same answer from the container as from a Lambda function, byte by byte,
//! whichever version of HTTP it speaks.
//!
//! The set is data: the cases of all route groups, and those of `functions/container/tests/cases`. The cases of one folder
//! with the same settings are a session, sent in the order of their names to a fresh database, one for each side.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{Router, body::Bytes, routing::post};
use dev::{bucket::Bucket, database::Database};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use shared::Code;
use tests::{
    case::{Answer, Case, Response, files},
    door::spawn,
    event::Source,
    server::{demo_database, plain_client, send, serve},
};
use tokio::net::{TcpListener, TcpStream};

use crate::container;

/// An HTTP API, and the load balancer that the container has as well. The tests of the route groups compare the others.
const SOURCES: [Source; 2] = [Source::ApigwV2, Source::AlbMultiValue];

/// How long one invocation may take on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What belongs to one hop (RFC 9110, section 7.6.1), to one moment, or is made of the body by the front door.
const OF_THE_HOP: [&str; 5] = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

/// Codes without a case: a fault of the code itself, and a request that only TCP can bring slowly.
const WITHOUT_A_CASE: [Code; 2] = [Code::Internal, Code::RequestTimeout];

type Settings = BTreeMap<String, String>;

/// Cases that build on each other.
type Session = Vec<(PathBuf, Case)>;

/// All cases, by folder and settings.
fn sessions() -> BTreeMap<(PathBuf, Settings), Session> {
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = fs::read_dir(functions).unwrap().map(|entry| entry.unwrap().path().join("tests/cases"));
    let mut sessions = BTreeMap::<_, Session>::new();
    for folder in folders.filter(|folder| folder.is_dir()) {
        for file in files(&folder) {
            let case = Case::read(&file);
            sessions.entry((folder.clone(), case.settings.clone())).or_default().push((file, case));
        }
    }
    sessions
}

/// What a side of a session works on.
struct World {
    bucket: Bucket,
    /// None where a setting leads to another store.
    database: Option<Database>,
    /// Takes connections, as the system does for it, and never answers.
    silent: TcpListener,
    throttling: String,
}

impl World {
    async fn new(settings: &Settings) -> Self {
        let database = match settings.get("AWS_ENDPOINT_URL_DYNAMODB") {
            Some(_) => None,
            None => Some(demo_database().await),
        };
        Self {
            bucket: Bucket::on_any_port().await.unwrap(),
            database,
            silent: TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
            throttling: throttling().await,
        }
    }

    fn endpoint(&self) -> String {
        self.database.as_ref().map(Database::endpoint).unwrap_or_default()
    }

    /// The settings of the session, and those that lead here.
    fn settings(&self, settings: &Settings) -> Settings {
        let silent = format!("http://{}", self.silent.local_addr().unwrap());
        let filled = |value: &String| value.replace("{silent}", &silent).replace("{throttling}", &self.throttling);
        let mut own = Settings::from([("AWS_ENDPOINT_URL_S3".into(), self.bucket.endpoint())]);
        own.extend(settings.iter().map(|(name, value)| (name.clone(), filled(value))));
        own
    }
}

/// A store that has too much to do.
async fn throttling() -> String {
    let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"no"}"#;
    serve(Router::new().route("/", post(async move || (StatusCode::BAD_REQUEST, body)))).await
}

async fn through_the_container(world: &World, settings: &Settings, session: &Session) -> Vec<Answer> {
    let container = container(&world.endpoint(), pairs(&world.settings(settings))).await;
    let client = plain_client();
    let mut answers = Vec::new();
    for (_, case) in session {
        answers.push(send(&client, container.address, &case.request).await);
    }
    answers
}

/// The same by HTTP/2 without TLS.
async fn through_http2(world: &World, settings: &Settings, session: &Session) -> Vec<Answer> {
    let container = container(&world.endpoint(), pairs(&world.settings(settings))).await;
    let stream = TokioIo::new(TcpStream::connect(container.address).await.unwrap());
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for (file, case) in session {
        let target = format!("http://{}{}", container.address, case.request.target);
        let mut request = Request::builder().method(case.request.method.as_str()).uri(target);
        for (name, value) in case.request.wire_headers() {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(case.request.wire_body().unwrap_or_default()));
        let answer = client.send_request(request.body(body).unwrap()).await;
        let (head, body) = answer.unwrap_or_else(|error| panic!("{}: {error}", file.display())).into_parts();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        answers.push(Answer { status: head.status.as_u16(), headers, body });
    }
    answers
}

async fn through_lambda(source: Source, world: &World, settings: &Settings, session: &Session) -> Vec<Answer> {
    let binary = Path::new(env!("CARGO_BIN_EXE_lambdalith"));
    let function = spawn(binary, &world.endpoint(), pairs(&world.settings(settings))).await;
    let mut answers = Vec::new();
    for (file, case) in session {
        let result = function.invoke(&source.event(&case.request), PATIENCE).await;
        let result = result.unwrap_or_else(|error| panic!("{}: {error}\n{:#?}", file.display(), function.log()));
        answers.push(source.answer(&result.body));
    }
    answers
}

fn pairs(settings: &Settings) -> impl Iterator<Item = (&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// The whole answer, but for what belongs to the hop; and of `ratelimit` only the name of the policy.
fn comparable(answer: &Answer) -> (u16, BTreeMap<String, String>, Vec<u8>) {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &answer.headers {
        let name = name.to_lowercase();
        if !OF_THE_HOP.contains(&name.as_str()) {
            let value = if name == "ratelimit" { value.split(';').next().unwrap_or_default() } else { value };
            headers.entry(name).and_modify(|all| *all = format!("{all}, {value}")).or_insert_with(|| value.into());
        }
    }
    (answer.status, headers, answer.body.clone())
}

/// The answer as a case has it.
fn readable(case: &Case, answer: &Answer) -> Response {
    let mut response = Response::of(answer.clone());
    response.headers.remove("ratelimit");
    response.redact(&case.varies);
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_answers_every_case_as_lambda_does() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differences = Vec::new();
    for ((folder, settings), mut session) in sessions() {
        // The databases are filled one after another: each has two seconds for a write.
        let mut worlds = Vec::new();
        for _ in 0..4 {
            worlds.push(World::new(&settings).await);
        }
        let (answers, one, other, http2) = tokio::join!(
            through_the_container(&worlds[0], &settings, &session),
            through_lambda(SOURCES[0], &worlds[1], &settings, &session),
            through_lambda(SOURCES[1], &worlds[2], &settings, &session),
            through_http2(&worlds[3], &settings, &session),
        );
        for ((file, case), answer) in session.iter_mut().zip(&answers) {
            let got = readable(case, answer);
            // Those of the route groups are written by the groups' own tests.
            if update && folder.starts_with(env!("CARGO_MANIFEST_DIR")) {
                case.response = Some(got);
                case.write(file);
            } else if case.response.as_ref() != Some(&got) {
                differences.push(format!("{}: not as in the file: {got:#?}", file.display()));
            }
        }
        let names = SOURCES.map(|source| format!("{source:?}")).into_iter().chain(["HTTP/2".to_owned()]);
        for (source, others) in names.zip([one, other, http2]) {
            for (((file, case), answer), other) in session.iter().zip(&answers).zip(&others) {
                // What differs between two runs of the same program cannot be compared as bytes.
                let same = if case.varies.is_empty() {
                    comparable(answer) == comparable(other)
                } else {
                    readable(case, answer) == readable(case, other)
                };
                if !same {
                    let shown = |answer| (readable(case, answer), comparable(answer).1);
                    let (ours, theirs) = (shown(answer), shown(other));
                    differences.push(format!("{}\ncontainer {ours:#?}\n{source} {theirs:#?}", file.display()));
                }
            }
        }
        println!("{}: {} cases, {settings:?}", folder.display(), session.len());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// The set covers what there is to compare.
#[test]
fn every_error_and_every_encoding_has_a_case() {
    let sessions = sessions();
    let responses = || sessions.values().flatten().filter_map(|(_, case)| case.response.as_ref());
    let codes: BTreeSet<&str> = responses().filter_map(|response| response.body["code"].as_str()).collect();
    let missing = Code::ALL.iter().filter(|code| !codes.contains(code.facts().name) && !WITHOUT_A_CASE.contains(code));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&Code>::new());
    for (header, values) in [
        ("content-encoding", &["br", "gzip", "zstd"][..]),
        ("content-type", &["application/json", "application/problem+json", "image/webp", "image/jpeg"]),
    ] {
        let seen: BTreeSet<&str> = responses().filter_map(|it| it.headers.get(header)).map(String::as_str).collect();
        assert_eq!(seen, values.iter().copied().collect(), "{header}");
    }
}
