//! The whole service on a fresh embedded DynamoDB, over TCP, in this process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::Router;
use dev::{app, database::Database, demo, settings, tables};
use shared::{
    config::Env,
    runtime::{Options, Server as TcpServer},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    case::{Answer, Request, Response},
    logs,
};

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

/// Serves routes on a free port of this machine, to the end of the test; says where, as `http://` and an address.
pub async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
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
        Self::with_all(endpoint, settings, extra).await
    }

    /// The same, with any number of settings.
    pub async fn with_all<'a>(
        endpoint: &str,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
        extra: Router,
    ) -> Self {
        let changes: Vec<(&str, &str)> = settings.into_iter().collect();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        logs::watch(changes.iter().copied());
        let env: Env = settings::pairs().chain(SETTINGS).map(owned).chain(changes.into_iter().map(owned)).collect();
        let app = app::with(env, endpoint).expect("good settings");
        let service = app.service(container::routes(&app).expect("good settings").merge(extra));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let options =
            Options { max_in_flight: 10_000, max_wait: std::time::Duration::from_mins(1), ..Options::default() };
        let server = TcpServer::new(options.within_files().unwrap_or(options), app.config.docs_url.clone());
        let task = tokio::spawn(async move {
            server.serve(listener, service, std::future::pending()).await;
        });
        Self { address, client: plain_client(), task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request.
    pub async fn send(&self, request: &Request) -> Response {
        Response::of(send(&self.client, self.address, request).await)
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

/// Panics when a log line of this process tells a secret, a token or an e-mail address.
impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        logs::check();
    }
}

/// A way to `upstream` on which every connection takes a while.
pub async fn slow(upstream: &str, delay: Duration) -> String {
    let upstream = upstream.strip_prefix("http://").expect("an address").to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let upstream = upstream.clone();
            tokio::spawn(async move {
                sleep(delay).await;
                let mut server = TcpStream::connect(upstream).await.expect("a connection");
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    format!("http://{address}")
}

/// A client that shows answers as they come, and follows no redirects.
pub fn plain_client() -> reqwest::Client {
    // The client is built for TLS, although these tests never use it.
    shared::backend::upstream::install_tls_provider();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

/// Sends a request to a server.
pub async fn send(client: &reqwest::Client, address: SocketAddr, request: &Request) -> Answer {
    send_through(client, &format!("http://{address}"), &address.to_string(), request).await
}

/// Sends a request to whatever `origin` is the address of, with this `Host`.
pub async fn send_through(client: &reqwest::Client, origin: &str, host: &str, request: &Request) -> Answer {
    let method = request.method.parse().expect("a legal method");
    let mut outgoing = client.request(method, format!("{origin}{}", request.target)).header("host", host);
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
    Answer { status, headers, body: answer.bytes().await.expect("a whole body").into() }
}
