//! Answers to what is no request: made without the middleware stack, which sees requests only.

use std::{fmt::Write, sync::Arc};

use axum::body::Bytes;
use futures_util::FutureExt;
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header::CONNECTION};
use http_body_util::BodyExt;

use crate::{
    error::ApiError,
    http::{context::RequestContext, stack},
};

/// Makes answers in the error model. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    /// Where the documentation of the error codes lives.
    pub(super) docs_url: Arc<str>,
}

impl Refusals {
    /// A whole answer of HTTP/1.1, after which the connection closes.
    pub(super) fn answer(&self, status: StatusCode) -> Bytes {
        let error = ApiError::from_status(status);
        // What was asked for is not known.
        let context = RequestContext::new(&HeaderMap::new(), &Uri::from_static("/"), &Extensions::new());
        let mut response = error.render(&context, &self.docs_url);
        stack::set_common_headers(response.headers_mut(), Some(&context));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        tracing::info!(request_id = context.request_id(), status = status.as_u16(), "not a request");
        let (parts, body) = response.into_parts();
        // An error's body is in memory.
        let body = body.collect().now_or_never().and_then(Result::ok).unwrap_or_default().to_bytes();
        let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &parts.headers {
            // Each is text that this service has written.
            let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        head.push_str("\r\n");
        [head.as_bytes(), &body].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole() {
        let answer = Refusals { docs_url: "https://docs.example.com".into() }.answer(StatusCode::BAD_REQUEST);
        let text = std::str::from_utf8(&answer).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("\r\nx-content-type-options: nosniff\r\n"), "{head}");
        assert!(body.starts_with(r#"{"code":"VALIDATION_ERROR""#), "{body}");
    }
}
