//! The whole service on a fresh embedded DynamoDB, over TCP, in this process.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use dev::{app, database::Database, demo, settings, tables};
use shared::{config::Env, runtime};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::case::{Request, Response};

/// What differs from `dev/local.env` in all tests that do not say otherwise: nobody is limited, and version 1 does not end.
pub const SETTINGS: [(&str, &str); 2] = [
    ("RATE_LIMIT_FREE", "1000000"),
    (
        "API_VERSIONS",
        r#"{"v1":{"deprecated":"2026-11-25T00:00:00Z","sunset":"2999-11-25T00:00:00Z","successor":"v2"}}"#,
    ),
];

/// A free port for a process that cannot choose one itself. It is below those that the system gives to clients: one that
/// connects to its own range may meet itself.
pub fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(15_000..30_000)).find(free).expect("a free port")
}

/// A database with tables and the demo data.
pub async fn demo_database() -> Database {
    let database = Database::in_memory().await.expect("an embedded DynamoDB");
    demo::prepare(&database, demo::TEST_EPOCH).await.expect("the demo data loads");
    database
}

/// A database with empty tables.
pub async fn empty_database() -> Database {
    let database = Database::in_memory().await.expect("an embedded DynamoDB");
    let client = app::on(&database.endpoint()).expect("good settings").aws.dynamodb;
    tables::create(&client).await.expect("the tables are created");
    database
}

/// A server on a free port of this machine. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    client: reqwest::Client,
    task: JoinHandle<()>,
}

impl Server {
    /// Every route group on this DynamoDB.
    pub async fn on(endpoint: &str) -> Self {
        Self::with(endpoint, [], Router::new()).await
    }

    /// Every route group, with some settings changed and some routes added.
    pub async fn with<const N: usize>(endpoint: &str, settings: [(&str, &str); N], extra: Router) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let env: Env = settings::pairs().chain(SETTINGS).map(owned).chain(settings.map(owned)).collect();
        let app = app::with(env, endpoint).expect("good settings");
        let service = app.service(container::routes(&app).expect("good settings").merge(extra));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            runtime::serve_tcp(listener, service, std::future::pending()).await.expect("the server runs");
        });
        Self { address, client: plain_client(), task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request.
    pub async fn send(&self, request: &Request) -> Response {
        send(&self.client, self.address, request).await
    }

    /// `GET` as a user, or as nobody.
    pub async fn get(&self, target: &str, user: Option<&str>) -> Response {
        self.send(&Request {
            method: "GET".into(),
            target: target.into(),
            user: user.map(Into::into),
            headers: [].into(),
            body: None,
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn plain_client() -> reqwest::Client {
    // The client is built for TLS, although these tests never use it.
    shared::backend::upstream::install_tls_provider();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

async fn send(client: &reqwest::Client, address: SocketAddr, request: &Request) -> Response {
    let method = request.method.parse().expect("a legal method");
    let mut outgoing = client.request(method, format!("http://{address}{}", request.target));
    for (name, value) in request.wire_headers() {
        outgoing = outgoing.header(name, value);
    }
    if let Some(body) = request.wire_body() {
        outgoing = outgoing.body(body);
    }
    let answer = outgoing.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let headers: Vec<(String, String)> = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect();
    Response::new(status, headers, &answer.bytes().await.expect("a whole body"))
}
