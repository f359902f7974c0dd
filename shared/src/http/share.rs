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

/// Bytes of all that is kept.
const CAPACITY: usize = 8 * 1024 * 1024;
/// The longest target and `Accept-Encoding` that are kept, in bytes: those of apps are short.
const LONGEST_KEY: (usize, usize) = (1024, 128);
/// About what an entry takes besides its texts.
const OVERHEAD: usize = 1024;
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
        let target = request.uri().path_and_query()?.as_str();
        let accept_encoding = headers.get(ACCEPT_ENCODING).map(HeaderValue::as_bytes);
        let short = target.len() <= LONGEST_KEY.0 && accept_encoding.is_none_or(|value| value.len() <= LONGEST_KEY.1);
        // A copy of its own: what came with the request would keep the whole of it.
        let accept_encoding = accept_encoding.and_then(|value| HeaderValue::from_bytes(value).ok());
        (simple && short).then(|| Self { target: target.to_owned(), accept_encoding })
    }
}

impl Entry {
    /// About how many bytes it takes, its key included.
    fn size(&self, key: &Key) -> usize {
        let headers: usize = self.parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        OVERHEAD + key.target.len() + headers + self.body.len()
    }

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
        let size = entry.size(&key);
        if *bytes + size > CAPACITY {
            by_key.retain(|_, entry| entry.made.elapsed() < self.fresh);
            *bytes = by_key.iter().map(|(key, entry)| entry.size(key)).sum();
        }
        if *bytes + size <= CAPACITY {
            *bytes += size;
            *bytes -= by_key.remove_entry(&key).map_or(0, |(key, entry)| entry.size(&key));
            by_key.insert(key, entry);
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

/// Whether anybody may have it who accepts the coding. What has an age already is an old answer of a service that fails.
fn is_for_all(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    !headers.contains_key(AGE)
        && text(CACHE_CONTROL).split(',').any(|word| word.trim() == "public")
        && headers.get_all(VARY).iter().count() <= 1
        && text(VARY)
            .split(',')
            .all(|name| name.trim().is_empty() || name.trim().eq_ignore_ascii_case("accept-encoding"))
}
