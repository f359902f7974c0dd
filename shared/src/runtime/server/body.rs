//! A request's body from a client that may be slow.

use std::{
    pin::Pin,
    sync::Arc,
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
use crate::http::context::SlowBody;

/// A body that fails when the client pauses for too long. The connection knows whether it was read to its end.
pub(super) struct Upload {
    incoming: Incoming,
    pause: Duration,
    /// The end of the pause that goes on.
    end: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
}

impl Upload {
    pub(super) fn new(incoming: Incoming, pause: Duration, activity: Arc<Activity>) -> Self {
        activity.upload_begins();
        Self { incoming, pause, end: None, activity }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.end = None;
            if frame.is_none() {
                // One that came in chunks does not know by itself.
                self.activity.upload_ends();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
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
