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

use super::{activity::Handling, budget::Share};

/// How much of an answer is one piece: as much as fits into a frame of HTTP/2.
const PIECE: usize = 16 * 1024;
/// What an answer takes besides its bytes.
const OVERHEAD: usize = 1024;
/// What an answer takes that does not know its size.
const UNKNOWN: usize = 64 * 1024;

/// A body whose request is being handled until its last byte has left, or will not leave any more.
pub(super) struct Answer {
    body: Body,
    /// What is left of the frame that came last.
    rest: Bytes,
    sending: Arc<Sending>,
}

/// What ends when it has left.
struct Sending {
    handling: Handling,
    _room: Share,
}

/// Bytes of it: they wait in the buffers of the connection after the body itself has been read to its end.
struct Piece {
    bytes: Bytes,
    sending: Arc<Sending>,
}

/// How much memory a body takes.
pub(super) fn size(body: &Body) -> usize {
    let hint = body.size_hint();
    let bytes = hint.upper().unwrap_or_else(|| hint.lower().max(UNKNOWN as u64));
    usize::try_from(bytes).unwrap_or(usize::MAX / 2) + OVERHEAD
}

impl Answer {
    pub(super) fn new(body: Body, mut handling: Handling, room: Share) -> Self {
        handling.send(size(&body));
        Self { body, rest: Bytes::new(), sending: Arc::new(Sending { handling, _room: room }) }
    }

    /// The next piece of what is there.
    fn piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        Frame::data(Bytes::from_owner(Piece { bytes, sending: Arc::clone(&self.sending) }))
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.sending.handling.progress();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(bytes))) => self.rest = bytes,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(self.piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
