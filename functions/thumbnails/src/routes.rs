//! The route of thumbnails. It is public: a token changes nothing.

use std::{
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    extract::{Request as HttpRequest, State as AxumState},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY},
};
use shared::{ApiError, Code, config::ConfigError, runtime::App, secrets::Rotating};
use thumbnails_core::{Cancel, Error, Refusal, Request, Rules, SigningKey, Thumbnail, render};

use crate::{
    bucket::{self, Bucket},
    queue::{Queue, Turn},
};

/// From the first byte of a request to the last of its answer, waiting included.
const WHOLE: Duration = Duration::from_secs(10);
/// For as long as the address has a meaning: another picture has another key.
const LIFETIME: u64 = 365 * 24 * 60 * 60;

/// What the route works with.
#[derive(Clone, Debug)]
pub struct State {
    bucket: Bucket,
    queue: Queue,
    /// Signs addresses; nothing where anybody may ask for any size.
    secret: Option<Rotating>,
}

impl State {
    /// Reads `IMAGES_BUCKET`, and `IMAGES_SECRET` or `IMAGES_SECRET_ID` where addresses have to be signed.
    ///
    /// # Errors
    /// When one of them is not set or not valid.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self {
            bucket: Bucket::from_env(&app.env, app.aws.credentials.clone())?,
            queue: Queue::new(available_parallelism().map_or(1, NonZeroUsize::get)),
            secret: Rotating::from_env(&app.env, "IMAGES_SECRET", &app.aws.secrets)?,
        })
    }

    /// Runs `parse` with the keys that verify. A signature of a key that is not known yet refreshes the secret: whoever
    /// signed the address may have seen a rotation first.
    async fn signed<R>(&self, parse: impl Fn(Rules<'_>) -> Result<R, Refusal>) -> Result<R, ApiError> {
        let Some(secret) = &self.secret else { return parse(Rules::default()).map_err(|refusal| refused(&refusal)) };
        let values = secret.values().await?;
        let mut parsed = parse(Rules { signing: &keys(&values)? });
        if matches!(parsed, Err(Refusal::WrongSignature))
            && let Some(newer) = secret.newer_than(&values).await
        {
            parsed = parse(Rules { signing: &keys(&newer)? });
        }
        parsed.map_err(|refusal| refused(&refusal))
    }
}

/// At least one key: without any, no address would have to be signed.
fn keys(values: &[String]) -> Result<Vec<SigningKey>, ApiError> {
    let keys: Vec<_> = values.iter().filter_map(|value| SigningKey::new(value.as_bytes())).collect();
    if keys.is_empty() { Err(ApiError::unavailable("the images' secret is too short")) } else { Ok(keys) }
}

/// `GET /images/{key}`.
pub fn router(state: State) -> Router {
    Router::new().route("/images/{*key}", get(show)).with_state(state)
}

async fn show(AxumState(state): AxumState<State>, request: HttpRequest) -> Result<Response, ApiError> {
    let cancel = Cancel::at(Instant::now() + WHOLE);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // The path as it came: what is encoded in it is refused, not decoded.
    let key = request.uri().path().strip_prefix("/images/").unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    let accept = accept(request.headers());
    let asked = state.signed(|rules| Request::parse(key, query, accept.as_deref(), rules, now)).await?;
    let made = tokio::time::timeout(WHOLE, make(&state, &asked, &cancel)).await;
    answer(&asked, made.map_err(|_| ApiError::timeout())??, now)
}

/// All `Accept` lines as one.
fn accept(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

async fn make(state: &State, asked: &Request, cancel: &Cancel) -> Result<Thumbnail, ApiError> {
    let turn = state.queue.turn().await?;
    let source = state.bucket.get(&asked.key).await.map_err(|error| unavailable(asked, error))?;
    let work = {
        let (transform, cancel) = (asked.transform, cancel.clone());
        move || {
            // The turn ends with the work, also when nobody waits for it any more.
            let _turn: Turn = turn;
            render(&source, &transform, &cancel)
        }
    };
    let _gone = CancelOnDrop(cancel.clone());
    let rendered = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    rendered.map_err(failed)
}

/// Stops the work when the client has hung up or the time is over.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn answer(asked: &Request, thumbnail: Thumbnail, now: u64) -> Result<Response, ApiError> {
    // A signed address is good until its end, and so is what a cache keeps of it.
    let lifetime = asked.expires.map_or(LIFETIME, |end| end.saturating_sub(now).min(LIFETIME));
    let cache = format!("public, max-age={lifetime}, immutable");
    let mut response = thumbnail.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(thumbnail.format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_str(&cache).map_err(ApiError::internal)?);
    if asked.negotiated {
        headers.insert(VARY, HeaderValue::from_static("Accept"));
    }
    Ok(response)
}

fn refused(refusal: &Refusal) -> ApiError {
    match refusal {
        Refusal::Invalid { field, reason } => ApiError::validation(*field, reason),
        Refusal::Forbidden(_) | Refusal::WrongSignature => {
            ApiError::forbidden(format!("The address was refused: {refusal}."))
        }
    }
}

fn unavailable(asked: &Request, error: bucket::Error) -> ApiError {
    match error {
        bucket::Error::Missing | bucket::Error::Denied => {
            ApiError::not_found(format!("There is no picture {}.", asked.key)).with_source(error)
        }
        bucket::Error::TooLarge => too_large("the file has more than 20 MB"),
        bucket::Error::Timeout => ApiError::timeout().with_source(error),
        other => ApiError::backend(other),
    }
}

fn failed(error: Error) -> ApiError {
    match error {
        Error::NotAnImage | Error::Malformed(_) => {
            ApiError::new(Code::UnsupportedMediaType, "What is stored there is no picture that can be read.")
                .with_source(error)
        }
        Error::TooLarge(why) => too_large(why),
        Error::Cancelled => ApiError::timeout(),
        Error::Encoder(_) => ApiError::internal(error),
    }
}

fn too_large(why: &str) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("The picture is too large: {why}."))
}
