//! From a router to a running service: as a Lambda function or as a TCP server.

mod lambda;
mod server;

use std::{error::Error, future::pending, net::Ipv4Addr, process::ExitCode};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{
    Router,
    middleware::{from_fn, map_response},
    response::Response,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

pub use lambda::serve as serve_lambda;
pub use server::{Options, Server};

use crate::{
    backend::{aws::Aws, upstream::Upstreams},
    config::{Config, ConfigError, Env},
    error::ApiError,
    http::{
        address::Locator,
        auth::Auth,
        limit::Limiter,
        share::Share,
        stack::{self, Stack},
    },
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
            share: Share::new(config.shared_cache),
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

    /// Whether the store answers: the read of one item, which need not be there.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub(crate) async fn ask_store(&self) -> Result<(), ApiError> {
        let key = AttributeValue::S("readiness".to_owned());
        let item = self.aws.dynamodb.get_item().table_name(&self.config.rate_limit.table).key("pk", key);
        item.send().await.map(drop).map_err(|error| ApiError::unavailable(error.into_service_error()))
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

/// The main of a server: builds the app, then serves connections on `PORT` (8080) until SIGTERM or SIGINT, and metrics on
/// `METRICS_PORT` (9090). With the argument `--healthcheck` it asks the server that runs beside it whether it lives.
///
/// A wrong setting, or a port that cannot be listened on, is one sentence on standard error and a failed exit.
pub fn server(routes: impl FnOnce(&App) -> Result<Router, ConfigError>) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    exit(match &arguments[..] {
        [] => run_server(routes),
        [flag] if flag == "--healthcheck" => server::healthcheck(&Env::of_process()),
        [other, ..] => Err(format!("{} is unknown: the only argument is --healthcheck", other.display()).into()),
    })
}

fn run_server(routes: impl FnOnce(&App) -> Result<Router, ConfigError>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options::from_env(&Env::of_process())?;
    let runtime = Builder::new_multi_thread().worker_threads(options.workers).enable_all().build()?;
    to_its_end(runtime, async {
        // From the first moment on: a task may be stopped while it starts.
        let terminated = termination();
        let app = App::from_process().await?;
        // With the headers of all other answers: the server tells its own from hyper's by them.
        let metrics = metrics::prometheus()?.layer(map_response(async |mut response: Response| {
            stack::set_common_headers(response.headers_mut(), None);
            response
        }));
        let options = options.within_files()?;
        let server = Server::new(options, app.config.docs_url.clone());
        let service = app.service(routes(&app)?.merge(server.readiness(&app)));
        let listener = listen(&app.env, "PORT", 8080).await?;
        let metrics_listener = listen(&app.env, "METRICS_PORT", 9090).await?;
        // Until the process ends: the last requests are counted too.
        let beside = Server::new(options.for_metrics(), app.config.docs_url.clone());
        tokio::spawn(async move { beside.serve(metrics_listener, metrics, pending()).await });
        app.spans.send_while(server.serve(listener, service, terminated)).await;
        Ok(())
    })
}

/// Runs until the work is done, and not until threads are that it has left behind: a name server that does not answer, or
/// a picture that nobody waits for any more, must not keep the process.
fn to_its_end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

async fn listen(env: &Env, name: &str, default: u16) -> Result<TcpListener, ConfigError> {
    let port: u16 = env.parsed(name, default)?;
    let failed = |why| ConfigError::new(name, format!("is {port}: {why}"));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map_err(failed)?;
    // With 0 the system has chosen one.
    tracing::info!(setting = name, address = %listener.local_addr().map_err(failed)?, "listening");
    Ok(listener)
}

/// Resolves on SIGTERM, which a container gets, or SIGINT, which Ctrl-C sends. Listens to them from this call on.
///
/// # Panics
/// When the process may not handle signals at all.
pub fn termination() -> impl Future<Output = ()> + Send {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be handled");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
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

#[cfg(test)]
mod tests {
    use std::{
        thread::sleep,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_thread_that_is_left_behind_does_not_keep_the_process() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let start = Instant::now();
        to_its_end(runtime, async { drop(tokio::task::spawn_blocking(|| sleep(Duration::from_secs(30)))) });
        assert!(start.elapsed() < Duration::from_secs(15));
    }
}
