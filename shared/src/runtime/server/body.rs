//! A request's body from a client that may be slow.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use crate::http::context::{AwaitsBody, SlowBody};

/// A body that fails when the client pauses for too long. The connection knows whether it was read to its end.
pub(super) struct Upload {
    incoming: Incoming,
    pause: Duration,
    /// The end of the pause that goes on.
    end: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
    awaited: AwaitsBody,
}

impl Upload {
    pub(super) fn new(incoming: Incoming, pause: Duration, activity: Arc<Activity>) -> Self {
        activity.upload_begins(incoming.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()));
        Self { incoming, pause, end: None, activity, awaited: AwaitsBody::default() }
    }

    /// Whether somebody waits for more of it.
    pub(super) fn awaited(&self) -> AwaitsBody {
        self.awaited.clone()
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.end = None;
            self.awaited.0.store(false, Ordering::Relaxed);
            if frame.is_none() {
                // One that came in chunks does not know by itself.
                self.activity.upload_ends();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.awaited.0.store(true, Ordering::Relaxed);
        let pause = self.pause;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(pause)));
        end.as_mut().poll(cx).map(|()| Some(Err(SlowBody.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.activity.upload_ends();
        }
    }
}
