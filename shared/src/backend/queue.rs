//! Calls of AWS services wait in line when there are many of them.
//!
//! The SDK opens a connection for each call that is under way, however many there are. One takes some 30 kB, and as much
//! again with TLS, so a rush of requests would cost more memory in connections than in the requests themselves; and a
//! store that is slow gets no faster by more of them.

use std::{sync::Arc, thread::available_parallelism};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connector_metadata::ConnectorMetadata,
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
    shared::IntoShared,
};
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

/// Calls under way at a time, for each processor. With 4 ms each, which DynamoDB takes, they are 8,000 a second: more than
/// a processor gets to.
const CALLS_PER_PROCESSOR: usize = 32;

/// A client that has so many calls under way at a time. The others wait in line, within the time that they have.
pub(super) fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    let calls = available_parallelism().map_or(1, usize::from) * CALLS_PER_PROCESSOR;
    Bounded { inner: client, places: Arc::new(Semaphore::new(calls)) }.into_shared()
}

#[derive(Debug)]
struct Bounded {
    inner: SharedHttpClient,
    places: Arc<Semaphore>,
}

impl HttpClient for Bounded {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.inner.http_connector(settings, components);
        Line { connector, places: Arc::clone(&self.places) }.into_shared()
    }

    // Where the client gets ready for its first call.
    fn validate_base_client_config(
        &self,
        parts: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(parts, config)
    }

    fn validate_final_config(&self, parts: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.inner.validate_final_config(parts, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct Line {
    connector: SharedHttpConnector,
    places: Arc<Semaphore>,
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, places) = (self.connector.clone(), Arc::clone(&self.places));
        HttpConnectorFuture::new(async move {
            let _place = places.acquire().await.map_err(|error| ConnectorError::user(error.into()))?;
            whole(connector.call(request).await?).await
        })
    }
}

/// With its body, since the connection is taken until that has been read.
async fn whole(mut response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let body = response.take_body().collect().await.map_err(ConnectorError::io)?;
    *response.body_mut() = body.to_bytes().into();
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    /// Counts the calls that are under way.
    #[derive(Clone, Debug, Default)]
    struct Slow {
        now: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl HttpConnector for Slow {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let Self { now, most } = self.clone();
            HttpConnectorFuture::new(async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Err(ConnectorError::timeout("as expected".into()))
            })
        }
    }

    #[tokio::test]
    async fn calls_wait_for_a_place_and_leave_it() {
        let slow = Slow::default();
        let line = Line { connector: slow.clone().into_shared(), places: Arc::new(Semaphore::new(3)) };
        let calls = (0..20).map(|_| line.call(HttpRequest::empty()));
        let ended = futures_util::future::join_all(calls).await;
        assert!(ended.iter().all(Result::is_err));
        assert_eq!(slow.most.load(Ordering::Relaxed), 3);
        assert_eq!(line.places.available_permits(), 3);
    }
}
