//! A shared cache in this process (RFC 9111): for a moment, answers that anybody may share are given again without being
//! made again.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_ENCODING, AGE, AUTHORIZATION, CACHE_CONTROL, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        IF_UNMODIFIED_SINCE, RANGE, VARY,
    },
    response::Parts,
};

use crate::error::ApiError;

/// Bytes of all bodies together.
const CAPACITY: usize = 8 * 1024 * 1024;
/// The longest body that is kept.
const LONGEST: usize = 128 * 1024;
/// The longest body that there is: more than any front door takes.
const WHOLE: usize = 64 * 1024 * 1024;

/// The cache. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Share(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    fresh: Duration,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    bytes: usize,
}

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    target: String,
    accept_encoding: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
struct Entry {
    made: Instant,
    parts: Parts,
    body: Bytes,
}

impl Share {
    /// Keeps answers for this long; not at all for zero.
    pub fn new(fresh: Duration) -> Self {
        Self((!fresh.is_zero()).then(|| Arc::new(Inner { fresh, entries: RwLock::default() })))
    }
}

impl Key {
    /// Nothing for a request whose answer depends on more than this.
    fn of(request: &Request) -> Option<Self> {
        let headers = request.headers();
        let more =
            [AUTHORIZATION, CACHE_CONTROL, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE];
        let simple = request.method() == Method::GET
            && more.iter().all(|name| !headers.contains_key(name))
            && headers.get_all(ACCEPT_ENCODING).iter().count() <= 1;
        let target = request.uri().path_and_query()?.as_str().to_owned();
        simple.then(|| Self { target, accept_encoding: headers.get(ACCEPT_ENCODING).cloned() })
    }
}

impl Entry {
    fn answer(self) -> Response {
        let mut response = Response::from_parts(self.parts, Body::from(self.body));
        response.headers_mut().insert(AGE, self.made.elapsed().as_secs().into());
        response
    }
}

impl Inner {
    fn get(&self, key: &Key) -> Option<Entry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.by_key.get(key).filter(|entry| entry.made.elapsed() < self.fresh).cloned()
    }

    fn keep(&self, key: Key, entry: Entry) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let Entries { by_key, bytes } = &mut *entries;
        if *bytes + entry.body.len() > CAPACITY {
            by_key.retain(|_, entry| entry.made.elapsed() < self.fresh);
            *bytes = by_key.values().map(|entry| entry.body.len()).sum();
        }
        if *bytes + entry.body.len() <= CAPACITY {
            *bytes += entry.body.len();
            let before = by_key.insert(key, entry);
            *bytes -= before.map_or(0, |entry| entry.body.len());
        }
    }
}

/// Gives an answer again, or makes it and keeps it.
pub(super) async fn share(State(cache): State<Share>, request: Request, next: Next) -> Response {
    let Some((cache, key)) = cache.0.and_then(|cache| Some((cache, Key::of(&request)?))) else {
        return next.run(request).await;
    };
    if let Some(entry) = cache.get(&key) {
        return entry.answer();
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::OK || !is_for_all(response.headers()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, WHOLE).await {
        Ok(body) => {
            if body.len() <= LONGEST {
                cache.keep(key, Entry { made: Instant::now(), parts: parts.clone(), body: body.clone() });
            }
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// Whether anybody may have it who accepts the coding.
fn is_for_all(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    text(CACHE_CONTROL).split(',').any(|word| word.trim() == "public")
        && headers.get_all(VARY).iter().count() <= 1
        && text(VARY)
            .split(',')
            .all(|name| name.trim().is_empty() || name.trim().eq_ignore_ascii_case("accept-encoding"))
}
