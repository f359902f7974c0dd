//! An answer's body, which knows when it has been sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::activity::Handling;

/// A body whose request is being handled until its last byte has left, or will not leave any more.
pub(super) struct Answer {
    body: Body,
    handling: Arc<Sending>,
}

/// What ends when it has left.
struct Sending {
    _handling: Handling,
    _room: Option<OwnedSemaphorePermit>,
}

/// Bytes of it: they wait in the buffers of the connection after the body itself has been read to its end.
struct Piece {
    bytes: Bytes,
    _handling: Arc<Sending>,
}

impl Answer {
    pub(super) fn new(body: Body, mut handling: Handling, room: Option<OwnedSemaphorePermit>) -> Self {
        handling.send();
        Self { body, handling: Arc::new(Sending { _handling: handling, _room: room }) }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let piece = |bytes| Bytes::from_owner(Piece { bytes, _handling: Arc::clone(&self.handling) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
