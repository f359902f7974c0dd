//! A way into the service.

use std::{path::Path, time::Duration};

use axum::Router;
use dev::{bucket::Bucket, database::Database, runtime_api::LambdaProcess, settings, upstream::Upstream};

use crate::{
    case::{Request, Response},
    event::Source,
    server::{SETTINGS, Server, demo_database},
};

/// How long one invocation may take.
const INVOCATION_LIMIT: Duration = Duration::from_secs(30);

/// The front doors of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The server of the container and of `cargo dev`.
    Tcp,
    /// The same server, with users and products from a service behind it in place of tables.
    Upstreams,
    /// A front door that invokes the Lambda function.
    Lambda(Source),
}

impl Door {
    /// Opens the door on a fresh database with the demo data; `binary` is the Lambda function behind it.
    pub async fn open(self, binary: &Path) -> Open {
        let database = demo_database().await;
        let bucket = Bucket::on_any_port().await.expect("a bucket");
        let photos = bucket.endpoint();
        let settings = [("AWS_ENDPOINT_URL_S3", photos.as_str())];
        let mut upstream = None;
        let entry = match self {
            Self::Tcp => Entry::Tcp(Server::with(&database.endpoint(), settings, Router::new()).await),
            Self::Upstreams => {
                let service = Upstream::on_any_port().await.expect("an upstream");
                let url = service.url();
                upstream = Some(service);
                let settings = [
                    settings[0],
                    ("BACKEND_USERS_URL", &url),
                    ("BACKEND_PRODUCTS_URL", &url),
                    ("USERS_TABLE", ""),
                    ("PRODUCTS_TABLE", ""),
                ];
                Entry::Tcp(Server::with(&database.endpoint(), settings, Router::new()).await)
            }
            Self::Lambda(source) => {
                let process = spawn(binary, &database.endpoint(), settings).await;
                Entry::Lambda(source, Box::new(process))
            }
        };
        Open { entry, _upstream: upstream, _bucket: bucket, _database: database }
    }
}

/// Starts a Lambda function on this DynamoDB, with some settings changed.
pub async fn spawn(binary: &Path, endpoint: &str, settings: impl IntoIterator<Item = (&str, &str)>) -> LambdaProcess {
    let mut environment: Vec<(String, String)> = Vec::new();
    let mut add = |(name, value): (&str, &str)| environment.push((name.to_owned(), value.to_owned()));
    settings::pairs().chain(SETTINGS).for_each(&mut add);
    add(("AWS_ENDPOINT_URL_DYNAMODB", endpoint));
    settings.into_iter().for_each(&mut add);
    LambdaProcess::spawn(binary, environment).await.expect("the function starts")
}

/// An open door.
pub struct Open {
    entry: Entry,
    // Dropped last: the function behind the door still talks to them.
    _upstream: Option<Upstream>,
    _bucket: Bucket,
    _database: Database,
}

enum Entry {
    Tcp(Server),
    Lambda(Source, Box<LambdaProcess>),
}

impl Open {
    /// Closes the door. The log of a function is complete then, and is looked through for what it must not tell.
    pub async fn close(mut self) {
        if let Entry::Lambda(_, process) = &mut self.entry {
            process.stop().await;
        }
    }

    /// Sends a request through the door.
    pub async fn send(&self, request: &Request) -> Response {
        match &self.entry {
            Entry::Tcp(server) => server.send(request).await,
            Entry::Lambda(source, process) => {
                let result = process.invoke(&source.event(request), INVOCATION_LIMIT).await;
                let result = result.unwrap_or_else(|error| panic!("{source:?}: {error}\n{}", process.log().join("\n")));
                Response::of(source.answer(&result.body))
            }
        }
    }
}
