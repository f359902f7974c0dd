//! Where the time of a request goes, as [`Server-Timing`](https://www.w3.org/TR/server-timing/): for development.
//!
//! The times say something about what is inside, so the setting is refused where the store is AWS's own, and even then a
//! request has to ask with `X-Server-Timing`.

use std::{
    fmt::Write,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const ASKED: HeaderName = HeaderName::from_static("x-server-timing");

/// What DynamoDB takes.
pub const STORE: &str = "store";
/// What a service behind this one takes.
pub(crate) const UPSTREAM: &str = "upstream";

tokio::task_local! {
    /// Of the request that this task works on, if it asked; nothing within a part, since parts do not nest.
    static TIMES: Option<Times>;
}

/// The parts so far.
#[derive(Clone, Debug, Default)]
struct Times(Arc<Mutex<Vec<Part>>>);

/// How often something was done, and how long that took in all.
#[derive(Debug)]
struct Part {
    name: &'static str,
    count: u32,
    took: Duration,
}

impl Times {
    fn add(&self, name: &'static str, took: Duration) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => (part.count, part.took) = (part.count + 1, part.took + took),
            None => parts.push(Part { name, count: 1, took }),
        }
    }

    /// `store;dur=1.204;desc="2 times", total;dur=3.5`
    fn header(&self) -> String {
        let mut text = String::new();
        for Part { name, count, took } in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let separator = if text.is_empty() { "" } else { ", " };
            let times = if *count == 1 { String::new() } else { format!(";desc=\"{count} times\"") };
            // A `String` takes everything.
            let _ = write!(text, "{separator}{name};dur={:.3}{times}", took.as_secs_f64() * 1e3);
        }
        text
    }
}

pin_project! {
    /// Work whose time is counted. Written by hand, since an `async fn` would keep the work twice.
    #[derive(Debug)]
    pub struct Timed<F> {
        name: &'static str,
        started: Option<(Option<Times>, Instant)>,
        #[pin]
        work: TaskLocalFuture<Option<Times>, F>,
    }
}

/// Counts the time of some work, waits included, for a part of the request.
pub fn part<F: Future>(name: &'static str, work: F) -> Timed<F> {
    Timed { name, started: None, work: TIMES.scope(None, work) }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let now = || (TIMES.try_with(Clone::clone).ok().flatten(), Instant::now());
        let (times, start) = this.started.get_or_insert_with(now);
        let output = ready!(this.work.poll(context));
        if let Some(times) = times {
            times.add(this.name, start.elapsed());
        }
        Poll::Ready(output)
    }
}

/// The same for work that waits for nothing.
pub(crate) fn sync_part<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let output = work();
    let _ = TIMES.try_with(|times| times.as_ref().map(|times| times.add(name, start.elapsed())));
    output
}

/// Adds the header to the answer of a request that asks for it.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(&ASKED) {
        return next.run(request).await;
    }
    let (times, start) = (Times::default(), Instant::now());
    let mut response = TIMES.scope(Some(times.clone()), next.run(request)).await;
    times.add("total", start.elapsed());
    response.headers_mut().extend(HeaderValue::from_str(&times.header()).map(|value| (SERVER_TIMING, value)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_add_up_and_do_not_nest() {
        let times = Times::default();
        let work = async {
            part("limit", async { part("store", async {}).await }).await;
            part("store", async {}).await;
            part("store", async {}).await;
            sync_part("render", || 1)
        };
        assert_eq!(TIMES.scope(Some(times.clone()), work).await, 1);
        let header = times.header();
        let names: Vec<&str> = header.split(", ").map(|part| part.split(';').next().unwrap_or_default()).collect();
        assert_eq!(names, ["limit", "store", "render"], "{header}");
        assert!(header.contains(";desc=\"2 times\", render;dur="), "{header}");
    }

    #[tokio::test]
    async fn without_a_request_that_asks_work_is_just_done() {
        assert_eq!(part("store", async { 7 }).await, 7);
    }
}
