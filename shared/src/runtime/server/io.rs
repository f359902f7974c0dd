//! A connection's socket: tells what happens on it, and puts hyper's own answers into the error model.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    activity::{Activity, Ending},
    framing::{Frames, Lines, Protocol},
    refusal::Refusals,
};

/// How long a client may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it.
const LINGER_BYTES: u64 = 1024 * 1024;

/// A socket. It is whole until it is dropped.
pub(super) struct Socket {
    stream: Option<TcpStream>,
    activity: Arc<Activity>,
    refusals: Refusals,
    /// Places for sockets that linger.
    lingering: Arc<Semaphore>,
    protocol: Protocol,
    /// Where the heads of HTTP/1 end.
    lines: Lines,
    /// What has come behind the part that hyper was given. It gets no more than one head at a time: it keeps the beginning
    /// of the next one to itself, where nobody knows since when it waits.
    ahead: Bytes,
    /// Whether hyper has just been given the end of a head. It would read on for a body before it hands the request over,
    /// and only then is it known how long that is.
    head_ended: bool,
    frames: Frames,
    /// Places for blocks of headers that are not complete.
    blocks: Arc<Semaphore>,
    /// The one that this connection has.
    block: Option<OwnedSemaphorePermit>,
    /// What is written in place of hyper's own answer.
    instead: Bytes,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        refusals: Refusals,
        lingering: Arc<Semaphore>,
        blocks: Arc<Semaphore>,
    ) -> Self {
        Self {
            stream: Some(stream),
            activity,
            refusals,
            lingering,
            protocol: Protocol::NEW,
            lines: Lines::default(),
            ahead: Bytes::new(),
            head_ended: false,
            frames: Frames::default(),
            blocks,
            block: None,
            instead: Bytes::new(),
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Notes that something has come. Says how much of it hyper should have now.
    fn received(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let known = self.protocol;
        self.protocol = known.after(bytes);
        let part = match (known, self.protocol) {
            (Protocol::Unknown(preface), Protocol::Http2) => {
                self.activity.speaks_http2();
                return self.received_frames(&bytes[preface.len()..]).map(|()| bytes.len());
            }
            (_, Protocol::Http2) => return self.received_frames(bytes).map(|()| bytes.len()),
            (_, Protocol::Http1) => self.part_of_http1(bytes),
            (_, Protocol::Unknown(_)) => bytes.len(),
        };
        self.activity.received(part);
        Ok(part)
    }

    fn part_of_http1(&mut self, bytes: &[u8]) -> usize {
        if let Some(left) = self.activity.body_left() {
            return bytes.len().min(left);
        }
        let part = self.lines.part(bytes);
        self.head_ended = self.lines.are_at_an_end();
        part
    }

    /// Fails when a block of headers is not complete, and there is no place for one more such block.
    fn received_frames(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.frames.is_open_after(bytes) {
            self.block = None;
        } else if self.block.is_none() {
            let place = Arc::clone(&self.blocks).try_acquire_owned();
            self.block = Some(place.map_err(|_| io::Error::other("too many blocks of headers are not complete"))?);
        }
        Ok(())
    }

    /// Writes through, and notes whether the client takes it.
    fn noting(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(self.stream()?);
        match &written {
            Poll::Ready(_) => self.activity.wrote(),
            Poll::Pending => self.activity.blocked(),
        }
        written
    }

    /// Fails when the client is gone and nobody needs what is being worked on: hyper reads nothing meanwhile, so it does
    /// not notice. One that has only said all, and waits, is not gone.
    fn notice_the_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.activity.may_be_in_vain() {
            let stream = self.stream()?;
            if stream.poll_read_ready(cx).is_ready()
                && let Some(error) = stream.take_error()?
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes what stands for hyper's own answer.
    fn write_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let bytes = self.instead.clone();
            let written = ready!(self.noting(|stream| stream.poll_write(cx, &bytes)))?;
            drop(self.instead.split_to(written));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.head_ended) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            let mut bytes = self.ahead.clone();
            bytes.truncate(buf.remaining());
            let part = self.received(&bytes)?;
            buf.put_slice(&self.ahead.split_to(part));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(self.stream()?.poll_read(cx, buf))?;
        if let bytes @ [_, ..] = &buf.filled()[before..] {
            let part = self.received(bytes)?;
            self.ahead = Bytes::copy_from_slice(&bytes[part..]);
            buf.set_filled(before + part);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.head_ended = false;
        if let Some(status) = bare_answer(buf) {
            self.activity.upload_begins(None);
            self.instead = self.refusals.answer(status);
            return Poll::Ready(Ok(buf.len()));
        }
        self.noting(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [buf] => self.poll_write(cx, buf),
            bufs => {
                self.head_ended = false;
                self.noting(|stream| stream.poll_write_vectored(cx, bufs))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_instead(cx))?;
        // hyper comes by here whenever it has nothing to do.
        self.notice_the_end(cx)?;
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_instead(cx))?;
        self.stream()?.poll_shutdown(cx)
    }
}

/// The status of an answer that hyper makes up itself: without a body, and without the headers that all of ours have.
fn bare_answer(bytes: &[u8]) -> Option<StatusCode> {
    // Long enough for hyper's three headers. Ours have more in the security headers alone.
    if bytes.len() > 200 || !bytes.starts_with(b"HTTP/1.") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let status = StatusCode::from_bytes(bytes.get(9..12)?).ok()?;
    status.is_client_error().then_some(status)
}

impl Drop for Socket {
    /// A socket that is closed while there is something to read is reset, and the client may lose the answer that told it
    /// to stop. So the answer gets some time to arrive, unless too many take theirs already.
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        match self.activity.ending() {
            Some(Ending::GivenUp) => {
                // What the system still has for the client is forgotten with it.
                let _ = stream.set_zero_linger();
                return;
            }
            Some(Ending::Refused(status)) => {
                // Nothing was written before, so all of it fits. If it does not, the client was told enough.
                let _ = stream.try_write(&self.refusals.answer(status));
            }
            Some(Ending::Last) | None => {}
        }
        if !self.activity.may_be_sending() {
            return;
        }
        if let (Ok(place), Ok(runtime)) = (Arc::clone(&self.lingering).try_acquire_owned(), Handle::try_current()) {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(LINGER, linger(stream)).await;
                drop(place);
            });
        }
    }
}

async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES);
    let mut buffer = [0; 4096];
    while rest.read(&mut buffer).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        net::TcpListener,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::runtime::server::budget::Budget;

    #[test]
    fn an_answer_of_hyper_s_own_is_recognised() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(bare_answer(bare), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        assert_eq!(bare_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(bare_answer(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(bare_answer(b"\0\0\0\x04\x01\0\0\0\0"), None, "a frame of HTTP/2");
        assert_eq!(bare_answer(b""), None);
    }

    /// A client that goes on sending, and this side's socket of the connection.
    async fn refused(lingering: &Arc<Semaphore>) -> (TcpStream, Socket) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let activity = Arc::new(Activity::new(&Budget::new(1)));
        activity.ends(Ending::Refused(StatusCode::REQUEST_TIMEOUT));
        let refusals = Refusals { docs_url: "https://docs.example.com".into() };
        let blocks = Arc::new(Semaphore::new(1));
        (client, Socket::new(stream, activity, refusals, Arc::clone(lingering), blocks))
    }

    #[tokio::test]
    async fn no_more_sockets_linger_than_there_are_places() {
        let lingering = Arc::new(Semaphore::new(1));
        let (mut first, socket) = refused(&lingering).await;
        drop(socket);
        let (mut second, socket) = refused(&lingering).await;
        drop(socket);
        assert_eq!(lingering.available_permits(), 0);
        for client in [&mut first, &mut second] {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer and its end");
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        }
        let told = async {
            while second.write_all(b"more").await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LINGER / 2, told).await.expect("nobody reads what the second sends, so it is told");
        drop(first);
        let _place = lingering.acquire().await.expect("the place is free once the client is gone");
    }
}
