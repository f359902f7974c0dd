//! From a router to a running service: as a Lambda function or as a TCP server.

mod lambda;
mod tcp;

use std::{error::Error, future::Future, process::ExitCode};

use axum::{Router, middleware::from_fn};
use tokio::net::TcpListener;

pub use lambda::serve as serve_lambda;
pub use tcp::{serve as serve_tcp, termination};

use crate::{
    backend::{aws::Aws, upstream::Upstreams},
    config::{Config, ConfigError, Env},
    http::{address::Locator, auth::Auth, limit::Limiter, stack::Stack},
    telemetry::{
        self,
        metrics::{self, Embedded},
        spans::Spans,
        timing,
    },
};

/// Everything that a route group may need to build its state, made once at the start.
#[derive(Clone, Debug)]
pub struct App {
    /// The environment, for the settings of one group alone.
    pub env: Env,
    /// The settings that all share.
    pub config: Config,
    /// AWS clients.
    pub aws: Aws,
    /// Services that data comes from in place of DynamoDB.
    pub upstreams: Upstreams,
    auth: Auth,
    spans: Spans,
}

impl App {
    /// Reads the process's environment, starts logging, builds the clients and fetches the JWT keys.
    ///
    /// # Errors
    /// The setting that is missing or wrong.
    pub async fn from_process() -> Result<Self, ConfigError> {
        let env = Env::of_process();
        telemetry::init(&env)?;
        let config = Config::from_env(&env)?;
        let aws = Aws::from_env(&env, config.limits)?;
        let app = Self::new(env, config, aws)?;
        app.auth.warm_up().await?;
        Ok(app)
    }

    /// Puts given parts together.
    ///
    /// # Errors
    /// When the token verifier or a client of an upstream cannot be built.
    pub fn new(env: Env, config: Config, aws: Aws) -> Result<Self, ConfigError> {
        let auth = Auth::new(&config.jwt, &aws.secrets)?;
        let upstreams = Upstreams::new(&config.backends)?;
        let spans = Spans::from_env(&env)?;
        Ok(Self { env, config, aws, upstreams, auth, spans })
    }

    /// The complete service: route groups inside the middleware stack.
    pub fn service(&self, routes: Router) -> Router {
        let Self { config, aws, auth, spans, .. } = self;
        let stack = Stack {
            auth: auth.clone(),
            locator: Locator::new(&config.proxies, &aws.secrets),
            limiter: Limiter::new(&aws.dynamodb, &config.rate_limit),
            versions: config.versions.clone(),
            limits: config.limits,
            cors_origins: config.cors_origins.clone(),
            docs_url: config.docs_url.clone(),
        };
        let service = stack.wrap(routes);
        // Outermost, and not there at all where nobody wants them.
        let service = if config.server_timing { service.layer(from_fn(timing::measure)) } else { service };
        spans.around(service)
    }
}

/// The main of a Lambda function: builds the app, then serves invocations until the platform ends the process.
///
/// A wrong setting, or a runtime API that does not answer, is one sentence on standard error and a failed exit.
pub async fn lambda(routes: impl FnOnce(&App) -> Result<Router, ConfigError>) -> ExitCode {
    let run = async {
        let app = App::from_process().await?;
        let metrics = Embedded::install(&app.env)?;
        serve_lambda(app.service(routes(&app)?), app.config.base_path.clone(), metrics, app.spans.clone()).await
    };
    exit(run.await)
}

/// The main of a server: builds the app, then serves connections on `PORT` (8080), metrics included, until `shutdown` resolves.
///
/// A wrong setting, or a port that cannot be listened on, is one sentence on standard error and a failed exit.
pub async fn server(
    routes: impl FnOnce(&App) -> Result<Router, ConfigError>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> ExitCode {
    let run = async {
        let app = App::from_process().await?;
        let routes = routes(&app)?.merge(metrics::prometheus()?);
        let port: u16 = app.env.parsed("PORT", 8080)?;
        let listener = TcpListener::bind(("0.0.0.0", port)).await;
        let listener = listener.map_err(|why| ConfigError::new("PORT", format!("is {port}: {why}")))?;
        let served = app.spans.send_while(serve_tcp(listener, app.service(routes), shutdown)).await;
        Ok(served?)
    };
    exit(run.await)
}

fn exit(result: Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may be what could not start.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
