//! A span for each request, for a tracing system: in a build with the feature `otlp`, where the settings name a collector.
//!
//! Without the feature there is nothing of it in the binary.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use self::exporter::Exporter;
use super::trace::TraceParent;
use crate::config::{ConfigError, Env};

#[cfg(feature = "otlp")]
#[path = "otlp.rs"]
mod exporter;

#[cfg(not(feature = "otlp"))]
mod exporter {
    //! There is none.

    use super::{ConfigError, Env, Next, Request, Response};

    #[derive(Debug)]
    pub(super) enum Exporter {}

    impl Exporter {
        #[allow(clippy::unnecessary_wraps)]
        pub(super) fn new(_: &str, _: &Env) -> Result<Option<Self>, ConfigError> {
            tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is set, but this build has no exporter: it is a feature, otlp");
            Ok(None)
        }

        #[allow(clippy::unused_async)]
        pub(super) async fn record(&self, _: Request, _: Next) -> Response {
            match *self {}
        }

        #[allow(clippy::unused_async)]
        pub(super) async fn flush(&self) {
            match *self {}
        }
    }
}

/// How often a server sends its spans.
const EVERY: Duration = Duration::from_secs(1);

/// The span of this service's own work, which is the parent of what it asks others.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code))]
pub(crate) struct OwnSpan(pub(crate) TraceParent);

/// Collects spans and sends them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<Exporter>>);

impl Spans {
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT`, without which there are no spans, `OTEL_EXPORTER_OTLP_HEADERS` and
    /// `OTEL_SERVICE_NAME`: the names that all of OpenTelemetry shares.
    ///
    /// # Errors
    /// When the endpoint is no web address or the headers are none.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let Some(endpoint) = env.url("OTEL_EXPORTER_OTLP_ENDPOINT")? else { return Ok(Self::default()) };
        Ok(Self(Exporter::new(endpoint, env)?.map(Arc::new)))
    }

    /// The service with a span around each request.
    pub(crate) fn around(&self, service: Router) -> Router {
        match &self.0 {
            None => service,
            Some(exporter) => service.layer(from_fn_with_state(Arc::clone(exporter), record)),
        }
    }

    /// Sends what there is: on Lambda before each answer, since the environment freezes after it.
    pub(crate) async fn flush(&self) {
        if let Some(exporter) = &self.0 {
            exporter.flush().await;
        }
    }

    /// Does some work that does not end soon, and sends what there is every second, and at its end.
    pub(crate) async fn send_while<T>(&self, work: impl Future<Output = T>) -> T {
        if self.0.is_none() {
            return work.await;
        }
        let mut work = pin!(work);
        let done = loop {
            if let Ok(done) = tokio::time::timeout(EVERY, &mut work).await {
                break done;
            }
            let mut sending = pin!(self.flush());
            tokio::select! {
                // What is under way has left the queue: it would be lost.
                done = &mut work => { sending.await; break done }
                () = &mut sending => {}
            }
        };
        self.flush().await;
        done
    }
}

async fn record(State(exporter): State<Arc<Exporter>>, request: Request, next: Next) -> Response {
    exporter.record(request, next).await
}
