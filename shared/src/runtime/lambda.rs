//! Lambda events -> router -> Lambda responses.
//!
//! What differs between the front doors ends here: API Gateway's stage and base path, where the caller's address
//! stands, the invocation's deadline, and headers that a response format can hold only once.

use std::{
    convert::Infallible,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, body::Body as AxumBody};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header::SET_COOKIE};
use http_body_util::BodyExt;
use lambda_http::{Body, Context, Error, RequestExt, request::RequestContext, service_fn};
use tower::ServiceExt;

use crate::http::context::{ClientAddr, Deadline, InvocationId};

/// Serves invocations until the platform ends the process.
///
/// # Errors
/// When the runtime API does not answer.
pub async fn serve(service: Router, base_path: Option<String>) -> Result<(), Error> {
    lambda_http::run(service_fn(move |request| handle(service.clone(), base_path.clone(), request))).await
}

async fn handle(
    service: Router,
    base_path: Option<String>,
    event: lambda_http::Request,
) -> Result<Response<Body>, Infallible> {
    let request = to_request(event, base_path.as_deref());
    let response = match service.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    Ok(to_response(response).await)
}

/// The event as an HTTP request: the path as clients know it, and neutral facts in the extensions.
fn to_request(event: lambda_http::Request, base_path: Option<&str>) -> Request<AxumBody> {
    let path = client_path(&event, base_path);
    let client = client_addr(&event);
    let context = event.lambda_context_ref().cloned();
    let (mut parts, body) = event.into_parts();
    parts.uri = with_path(&parts.uri, &path);
    // The front door's own types stop here: nothing behind the adapter may depend on them.
    parts.extensions.clear();
    if let Some(context) = context {
        if let Some(deadline) = deadline(&context) {
            parts.extensions.insert(deadline);
        }
        parts.extensions.insert(InvocationId(context.request_id));
    }
    if let Some(addr) = client {
        parts.extensions.insert(ClientAddr(addr));
    }
    let body = match body {
        Body::Text(text) => AxumBody::from(text),
        Body::Binary(bytes) => AxumBody::from(bytes),
        _ => AxumBody::empty(),
    };
    Request::from_parts(parts, body)
}

/// The path without stage and base path.
///
/// `lambda_http` puts the stage in front of every path; the raw path of the event is what API Gateway received. Only an
/// HTTP API with a named stage leaves the stage in it.
fn client_path(event: &lambda_http::Request, base_path: Option<&str>) -> String {
    let raw = event.raw_http_path();
    let path = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => match context.stage.as_deref() {
            Some(stage) if stage != "$default" => strip_prefix(raw, &format!("/{stage}")),
            _ => raw,
        },
        _ => raw,
    };
    let path = base_path.map_or(path, |base| strip_prefix(path, base));
    if path.is_empty() { "/".into() } else { path.into() }
}

/// Strips at a segment boundary only: `/prod` is not a prefix of `/products`.
fn strip_prefix<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

fn with_path(uri: &Uri, path: &str) -> Uri {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // API Gateway hands over some paths decoded; what is no longer a legal target is encoded again.
    target.parse().or_else(|_| encode(&target).parse()).unwrap_or_else(|_| Uri::from_static("/"))
}

fn encode(target: &str) -> String {
    target
        .bytes()
        .map(|byte| if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The caller's address as the front door itself saw it, never what a client can write.
fn client_addr(event: &lambda_http::Request) -> Option<IpAddr> {
    match event.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?.parse().ok(),
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref()?.parse().ok(),
        // The load balancer appends the peer; everything before it came with the request.
        RequestContext::Alb(_) => {
            let last = event.headers().get_all("x-forwarded-for").iter().next_back()?;
            last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        }
        _ => None,
    }
}

/// When the invocation ends. `None` for a time that has passed: the service never hands out such an event, but some
/// emulators set no real time.
fn deadline(context: &Context) -> Option<Deadline> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = at.duration_since(SystemTime::now()).ok()?;
    Some(Deadline(Instant::now() + left))
}

async fn to_response(response: Response<AxumBody>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers = fold(&parts.headers);
    let body = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        // The stack buffers what it makes; a stream that breaks here can only become a bare status.
        Err(error) => {
            tracing::error!(%error, "a response body broke off");
            parts.status = StatusCode::INTERNAL_SERVER_ERROR;
            return Response::from_parts(parts, Body::Empty);
        }
    };
    let body = match String::from_utf8(body.into()) {
        Ok(text) if text.is_empty() => Body::Empty,
        Ok(text) => Body::Text(text),
        Err(error) => Body::Binary(error.into_bytes()),
    };
    Response::from_parts(parts, body)
}

/// Joins repeated headers into one line each (RFC 9110, section 5.3): an HTTP API's response keeps only the first.
fn fold(headers: &HeaderMap) -> HeaderMap {
    let mut folded = HeaderMap::with_capacity(headers.len());
    for name in headers.keys() {
        let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
        match lines.as_slice() {
            // A cookie's date has a comma, so cookies are not a list; lambda_http carries them apart.
            many if name == SET_COOKIE => folded.extend(many.iter().map(|line| (name.clone(), (*line).clone()))),
            [one] => folded.extend([(name.clone(), (*one).clone())]),
            many => folded.extend([(name.clone(), join(name, many))]),
        }
    }
    folded
}

fn join(name: &HeaderName, lines: &[&HeaderValue]) -> HeaderValue {
    let joined = lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>().join(&b", "[..]);
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| {
        tracing::error!(%name, "repeated header lines could not be joined");
        lines[0].clone()
    })
}
