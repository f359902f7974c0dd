//! Lambda events -> router -> Lambda responses.
//!
//! What differs between the front doors ends here: API Gateway's stage and base path, where the caller's address
//! stands, the invocation's deadline, and headers that a response format can hold only once.

mod request;
mod response;

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::Router;
use http::Response;
use lambda_http::{
    Adapter, Body, Error, LambdaEvent, Service,
    lambda_runtime::{self, service_fn},
    request::LambdaRequest,
};
use tower::ServiceExt;

use crate::{
    http::context::{ColdStart, Unreadable},
    telemetry::{metrics::Embedded, spans::Spans},
};

/// Serves invocations until the platform ends the process. Metrics are written and spans sent after each.
///
/// # Errors
/// When the runtime API does not answer.
pub async fn serve(service: Router, base_path: Option<String>, metrics: Embedded, spans: Spans) -> Result<(), Error> {
    let base_path: Option<Arc<str>> = base_path.map(Into::into);
    let cold = Arc::new(AtomicBool::new(true));
    let answer = |readable: bool| {
        let (service, base_path, cold) = (service.clone(), base_path.clone(), Arc::clone(&cold));
        let spans = spans.clone();
        Adapter::from(service_fn(move |event| {
            let answer =
                handle(service.clone(), base_path.clone(), event, readable, cold.swap(false, Ordering::Relaxed));
            let spans = spans.clone();
            async move {
                let answer = answer.await;
                metrics.flush();
                spans.flush().await;
                answer
            }
        }))
    };
    let (mut readable, mut unreadable) = (answer(true), answer(false));
    let invoke = service_fn(move |LambdaEvent { payload, context }: LambdaEvent<LambdaRequest>| {
        // `lambda_http` panics on what it cannot turn into a request, and then the front door would make up an answer.
        let blank = request::blank(&payload);
        let event = LambdaEvent::new(request::tame(payload), context.clone());
        catch_unwind(AssertUnwindSafe(|| readable.call(event)))
            .unwrap_or_else(|_| unreadable.call(LambdaEvent::new(blank, context)))
    });
    lambda_runtime::run(invoke).await
}

async fn handle(
    service: Router,
    base_path: Option<Arc<str>>,
    event: lambda_http::Request,
    readable: bool,
    cold: bool,
) -> Result<Response<Body>, Infallible> {
    let mut request = request::from_event(event, base_path.as_deref());
    if !readable {
        request.extensions_mut().insert(Unreadable);
    }
    if cold {
        request.extensions_mut().insert(ColdStart);
    }
    let response = match service.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    Ok(response::to_lambda(response).await)
}
