//! Events in.

use std::{
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use axum::body::Body as AxumBody;
use http::{
    HeaderMap, HeaderName, Request, Uri,
    header::{HOST, HeaderValue},
};
use lambda_http::{
    Body, Context, RequestExt,
    aws_lambda_events::{
        alb::AlbTargetGroupRequest,
        apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest},
    },
    request::{LambdaRequest, RequestContext},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::http::context::{ClientAddr, Deadline, InvocationId, PathPrefix, ResponseLimit, XrayTrace};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What may not stand in a query as it is (RFC 3986, section 3.4).
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'`');
/// What may not stand in a path as it is. `%` stays: most front doors hand over paths that are encoded already.
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'{').add(b'}').add(b'\\').add(b'^').add(b'|');

/// An empty event of the same kind, for an answer to one that cannot be read.
pub(super) fn blank(event: &LambdaRequest) -> LambdaRequest {
    match event {
        LambdaRequest::ApiGatewayV1(_) => LambdaRequest::ApiGatewayV1(ApiGatewayProxyRequest::default()),
        LambdaRequest::Alb(_) => LambdaRequest::Alb(AlbTargetGroupRequest::default()),
        _ => LambdaRequest::ApiGatewayV2(ApiGatewayV2httpRequest::default()),
    }
}

/// Takes out of an event what `lambda_http` stumbles over: it builds an absolute address out of headers that a client
/// writes, takes an HTTP API's query for encoded, and lets a header's last line hide the ones before it.
pub(super) fn tame(mut event: LambdaRequest) -> LambdaRequest {
    match &mut event {
        LambdaRequest::ApiGatewayV1(event) => {
            tame_headers(&mut event.headers, &mut event.multi_value_headers);
            event.request_context.domain_name = None;
        }
        LambdaRequest::ApiGatewayV2(event) => {
            tame_headers(&mut event.headers, &mut HeaderMap::new());
            event.request_context.domain_name = None;
            event.raw_query_string =
                event.raw_query_string.take().map(|query| utf8_percent_encode(&query, QUERY).to_string());
        }
        LambdaRequest::Alb(event) => tame_headers(&mut event.headers, &mut event.multi_value_headers),
        _ => {}
    }
    event
}

fn tame_headers(single: &mut HeaderMap, multi: &mut HeaderMap) {
    if !multi.is_empty() {
        single.clear();
    }
    for name in [HOST, X_FORWARDED_PROTO] {
        single.remove(&name);
        multi.remove(&name);
    }
}

/// The event as an HTTP request: the path as clients know it, and neutral facts in the extensions.
pub(super) fn from_event(event: lambda_http::Request, base_path: Option<&str>) -> Request<AxumBody> {
    let (uri, prefix) = uri(&event, base_path);
    let client = client_addr(&event);
    let limit = response_limit(&event);
    let context = event.lambda_context_ref().cloned();
    let (mut parts, body) = event.into_parts();
    parts.uri = uri;
    // The front door's own types stop here: nothing behind the adapter may depend on them.
    parts.extensions.clear();
    if let Some(context) = context {
        if let Some(deadline) = deadline(&context) {
            parts.extensions.insert(deadline);
        }
        parts.extensions.insert(InvocationId(context.request_id));
        if let Some(id) = context.xray_trace_id {
            parts.extensions.insert(XrayTrace(id));
        }
    }
    parts.extensions.insert(limit);
    if !prefix.is_empty() {
        parts.extensions.insert(PathPrefix(prefix));
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

/// The path without stage and base path, and the query; and what was in front of the path.
fn uri(event: &lambda_http::Request, base_path: Option<&str>) -> (Uri, String) {
    let (path, prefix) = client_path(event, base_path);
    let path = utf8_percent_encode(&path, PATH);
    let target = match event.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_string(),
    };
    (target.parse().unwrap_or_else(|_| Uri::from_static("/")), prefix)
}

/// `lambda_http` puts the stage in front of every path; the raw path of the event is what API Gateway received. Only an
/// HTTP API with a named stage leaves the stage in it.
fn client_path(event: &lambda_http::Request, base_path: Option<&str>) -> (String, String) {
    let raw = event.raw_http_path();
    let path = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => match context.stage.as_deref() {
            Some(stage) if stage != "$default" => strip_prefix(raw, &format!("/{stage}")),
            _ => raw,
        },
        _ => raw,
    };
    let path = base_path.map_or(path, |base| strip_prefix(path, base));
    let prefix = raw.strip_suffix(path).unwrap_or_default().to_owned();
    (if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }, prefix)
}

/// Strips at a segment boundary only: `/prod` is not a prefix of `/products`.
fn strip_prefix<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The caller's address as the front door itself saw it, never what a client can write.
fn client_addr(event: &lambda_http::Request) -> Option<IpAddr> {
    match event.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?.parse().ok(),
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref()?.parse().ok(),
        // The load balancer appends the peer; everything before it came with the request.
        RequestContext::Alb(_) => rightmost(event.headers().get_all("x-forwarded-for").iter().next_back()?),
        _ => None,
    }
}

/// What a front door takes from a function, less a third in case the body goes as base64, and room for the headers.
fn response_limit(event: &lambda_http::Request) -> ResponseLimit {
    let bytes = match event.request_context_ref() {
        Some(RequestContext::Alb(_)) => 1024 * 1024,
        _ => 6 * 1024 * 1024,
    };
    ResponseLimit(bytes / 4 * 3 - 32 * 1024)
}

fn rightmost(forwarded: &HeaderValue) -> Option<IpAddr> {
    forwarded.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

/// When the invocation ends. `None` for a time that has passed: the service never hands out such an event, but some
/// emulators set no real time.
fn deadline(context: &Context) -> Option<Deadline> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = at.duration_since(SystemTime::now()).ok()?;
    Some(Deadline(Instant::now() + left))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An HTTP API's event as the adapter hands it on.
    fn http_api(stage: &str, path: &str, query: &str, base_path: Option<&str>) -> String {
        let event = serde_json::json!({
            "version": "2.0", "rawPath": path, "rawQueryString": query, "isBase64Encoded": false,
            "headers": { "host": "xn--a:x", "x-forwarded-proto": "no scheme" },
            "requestContext": { "stage": stage, "http": { "method": "GET", "path": path } },
        });
        let event: LambdaRequest = serde_json::from_value(event).expect("an event");
        from_event(lambda_http::Request::from(tame(event)), base_path).uri().to_string()
    }

    #[test]
    fn stage_and_base_path_are_stripped_at_segment_boundaries() {
        let cases = [
            ("$default", "/api/v2/home", None, "/api/v2/home"),
            ("prod", "/prod/api/v2/home", None, "/api/v2/home"),
            ("prod", "/products", None, "/products"),
            ("prod", "/prod", None, "/"),
            ("prod", "/api/v2/home", None, "/api/v2/home"),
            ("$default", "/mobile/api/v2/home", Some("/mobile"), "/api/v2/home"),
            ("prod", "/prod/mobile/health", Some("/mobile"), "/health"),
            ("$default", "/mobiles", Some("/mobile"), "/mobiles"),
            ("$default", "", None, "/"),
        ];
        for (stage, path, base_path, expected) in cases {
            assert_eq!(http_api(stage, path, "", base_path), expected, "{stage} {path}");
        }
    }

    #[test]
    fn what_came_decoded_is_encoded_and_what_came_encoded_stays() {
        let cases = [
            ("/a b/ü", "", "/a%20b/%C3%BC"),
            ("/<x>?y#z", "", "/%3Cx%3E%3Fy%23z"),
            ("/a%20b", "q=%26", "/a%20b?q=%26"),
            ("/a", "q=a b\"<", "/a?q=a%20b%22%3C"),
        ];
        for (path, query, expected) in cases {
            assert_eq!(http_api("$default", path, query, None), expected);
        }
    }

    #[test]
    fn a_load_balancer_appends_the_real_address() {
        let addr = |value: &'static str| rightmost(&HeaderValue::from_static(value));
        assert_eq!(addr("10.0.0.1, 203.0.113.9"), "203.0.113.9".parse().ok());
        assert_eq!(addr("2001:db8::1"), "2001:db8::1".parse().ok());
        assert_eq!(addr("203.0.113.9, forged"), None);
    }
}
