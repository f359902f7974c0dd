//! One line of the log and one record of the metrics for each request, at the boundary.

use std::time::Instant;

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method};

use super::context::{ApiVersion, ColdStart, Overloaded, RequestContext, XrayTrace};
use crate::{error::ApiError, telemetry::metrics::Served};

/// Bytes that the whole view of an answer would have, at level full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WholeSize(pub(crate) u64);

/// Bytes of an answer before it is coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainSize(pub(super) u64);

/// What a request says about itself.
struct Asked {
    method: Method,
    context: Option<RequestContext>,
    /// The template, not the path: a path holds ids.
    route: Option<MatchedPath>,
    trace: Option<String>,
    xray: Option<String>,
    app: Option<String>,
    cold_start: bool,
    overloaded: bool,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        let header = |name| sane(request.headers(), name);
        Self {
            method: request.method().clone(),
            context: extensions.get().cloned(),
            route: extensions.get().cloned(),
            trace: extensions.get().and_then(|context: &RequestContext| Some(context.trace().parent?.trace_id())),
            xray: extensions.get().map(|XrayTrace(id)| id.clone()).or_else(|| header("x-amzn-trace-id")),
            app: header("x-app-version"),
            cold_start: extensions.get::<ColdStart>().is_some(),
            overloaded: extensions.get::<Overloaded>().is_some(),
        }
    }
}

/// A header that may go into the log: short and without anything strange.
fn sane(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=;+ /()".contains(&byte);
    (value.len() <= 128 && value.bytes().all(fits)).then(|| value.to_owned())
}

/// Logs and records a request once its answer is complete.
pub(super) async fn record(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let asked = Asked::of(&request);
    let response = next.run(request).await;
    let took = start.elapsed();

    let extensions = response.extensions();
    let wire = response.body().size_hint().exact().filter(|_| asked.method != Method::HEAD).unwrap_or_default();
    let after = extensions.get().map_or(wire, |PlainSize(bytes)| *bytes);
    let before = extensions.get().map_or(after, |WholeSize(bytes)| *bytes);
    let served = Served {
        route: asked.route.as_ref().map_or("none", MatchedPath::as_str),
        version: asked.context.as_ref().and_then(RequestContext::version).map_or("none", ApiVersion::as_str),
        status: response.status().as_u16(),
        took,
        bytes: [Some(before), Some(after), Some(wire)],
        cold_start: asked.cold_start,
    };
    served.record();
    // What is refused for want of time must not take any; it is counted.
    if !asked.overloaded {
        log(&asked, &served, extensions.get());
    }
    response
}

fn log(asked: &Asked, served: &Served<'_>, error: Option<&ApiError>) {
    let Asked { method, context, trace, xray, app, cold_start, .. } = asked;
    let Served { route, version, status, took, bytes: [before, after, wire], .. } = *served;
    let request_id = context.as_ref().map_or("", RequestContext::request_id);
    let (trace_id, xray_trace_id, app_version) = (trace.as_deref(), xray.as_deref(), app.as_deref());
    let duration_ms = took.as_secs_f64() * 1e3;
    let code = error.map(|error| error.code().facts().name);
    macro_rules! line {
        ($level:ident, $cause:expr, $message:literal) => {
            tracing::$level!(
                request_id, trace_id, xray_trace_id, %method, route, version, status, duration_ms,
                bytes_before = before, bytes_after = after, bytes_wire = wire, cold_start, app_version,
                code, cause = $cause, $message
            )
        };
    }
    if status >= 500 {
        line!(error, error.and_then(ApiError::causes), "request failed");
    } else {
        line!(info, None::<String>, "request served");
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn strange_headers_stay_out_of_the_log() {
        let with = |value: &'static str| {
            let name = HeaderName::from_static("x-app-version");
            sane(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]), "x-app-version")
        };
        assert_eq!(with("5.2.1 (iOS 19; 88)").as_deref(), Some("5.2.1 (iOS 19; 88)"));
        assert_eq!(with("\"}{\"level\":\"x"), None);
        assert_eq!(with("someone@example.com"), None);
    }
}
