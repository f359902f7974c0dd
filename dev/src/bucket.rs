//! A stand-in for S3 with one photo for each product and user, drawn when it is asked for.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use photos::Photo;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{demo, settings};

/// The size of every photo, in pixels.
const SIZE: (u16, u16) = (1200, 900);

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Bucket {
    address: SocketAddr,
    served: JoinHandle<()>,
}

impl Bucket {
    /// On any free port of this machine.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn on_any_port() -> io::Result<Self> {
        Self::start(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// Serves the photos on this listener.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let routes = Router::new().route("/{bucket}/{*key}", get(object));
        let served = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the bucket stopped");
            }
        });
        Ok(Self { address, served })
    }

    /// The endpoint for an AWS SDK.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// Like S3, this wants a signature, and answers in XML. Unlike S3, it does not check the signature.
async fn object(Path((bucket, key)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let signature = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signature.starts_with("AWS4-HMAC-SHA256 ") {
        return failure(StatusCode::FORBIDDEN, "AccessDenied");
    }
    if bucket != settings::value("IMAGES_BUCKET") {
        return failure(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    if !exists(&key) {
        return failure(StatusCode::NOT_FOUND, "NoSuchKey");
    }
    let drawn = tokio::task::spawn_blocking(move || Photo::of(&key).jpeg(SIZE.0, SIZE.1)).await;
    match drawn {
        // The type that a careless upload leaves.
        Ok(bytes) => ([("content-type", "binary/octet-stream")], bytes).into_response(),
        Err(_) => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

fn exists(key: &str) -> bool {
    let number = |prefix: &str| key.strip_prefix(prefix)?.strip_suffix(".jpg")?.parse::<u16>().ok();
    let within = |number: Option<u16>, count| number.is_some_and(|number| (1..=count).contains(&number));
    within(number("products/p-"), demo::PRODUCTS) || within(number("avatars/user-"), demo::USERS)
}

fn failure(status: StatusCode, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    (status, [("content-type", "application/xml")], body).into_response()
}
