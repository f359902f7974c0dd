//! Answers out.

use axum::body::Body as AxumBody;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::SET_COOKIE};
use http_body_util::BodyExt;
use lambda_http::Body;

/// Buffers the body and folds repeated headers.
pub(super) async fn to_lambda(response: Response<AxumBody>) -> Response<Body> {
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
            // A cookie's date has a comma, so cookies are not a list; `lambda_http` carries them apart.
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

#[cfg(test)]
mod tests {
    use http::header::VARY;

    use super::*;

    #[test]
    fn repeated_headers_are_joined_and_cookies_are_not() {
        let lines = [(VARY, "Authorization"), (SET_COOKIE, "a=1"), (VARY, "Accept-Encoding"), (SET_COOKIE, "b=2")];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        let folded = fold(&headers);
        assert_eq!(folded.get_all(VARY).iter().collect::<Vec<_>>(), ["Authorization, Accept-Encoding"]);
        assert_eq!(folded.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    }

    #[tokio::test]
    async fn text_stays_text_and_bytes_become_binary() {
        let body = async |body: &'static [u8]| to_lambda(Response::new(AxumBody::from(body))).await.into_body();
        assert!(matches!(body(b"").await, Body::Empty));
        assert!(matches!(body(b"{}").await, Body::Text(text) if text == "{}"));
        assert!(matches!(body(b"\xff\xfe").await, Body::Binary(bytes) if bytes == b"\xff\xfe"));
    }
}
