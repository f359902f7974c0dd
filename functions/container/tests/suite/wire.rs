//! HTTP/1.1 byte by byte: a client that does exactly what it is told, and repeats nothing.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How long anything may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The members of a body in JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Checks that it is an error of the model with this code, and that headers and body agree.
    pub(crate) fn is_error(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        assert_eq!(Some(self.headers["x-request-id"].as_str()), body["requestId"].as_str());
        let wait = body["retryAfter"].as_u64().map(|seconds| seconds.to_string());
        assert_eq!(self.headers.get("retry-after"), wait.as_ref());
        assert_eq!(body["retryable"], wait.is_some());
        assert!(status != 503 || wait.is_some(), "it does not say when to come again: {body}");
    }

    pub(crate) fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }
}

/// One connection.
pub(crate) struct Wire(BufStream<TcpStream>);

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap()
    }

    pub(crate) async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufStream::new(stream)))
    }

    /// A client whose buffers are small: what it does not read soon stays with the server.
    pub(crate) async fn open_small(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        Self(BufStream::new(socket.connect(address).await.unwrap()))
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref()).await?;
        self.0.flush().await
    }

    /// Says that nothing more will come.
    pub(crate) async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Is gone from one moment to the next.
    pub(crate) fn reset(self) {
        self.0.into_inner().set_zero_linger().unwrap();
    }

    /// Sends a `GET` and reads the answer.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.try_get(target).await.unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    /// Sends a `GET` and reads the answer, if it comes whole.
    pub(crate) async fn try_get(&mut self, target: &str) -> io::Result<Answer> {
        self.write(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await?;
        self.try_read().await
    }

    pub(crate) async fn read(&mut self) -> Answer {
        self.try_read().await.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) async fn try_read(&mut self) -> io::Result<Answer> {
        timeout(PATIENCE, self.read_now()).await.unwrap_or_else(|_| panic!("there is no answer"))
    }

    /// The next so many bytes.
    pub(crate) async fn read_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.0.read_exact(&mut bytes)).await.unwrap_or_else(|_| panic!("nothing comes"))?;
        Ok(bytes)
    }

    async fn read_now(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("{line:?}")))?;
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(Answer { status, headers, body })
    }

    /// Waits until the other side has closed; nothing else may come.
    pub(crate) async fn ends(&mut self) {
        let read = timeout(PATIENCE, self.0.read_u8()).await.expect("the server closes the connection");
        assert!(read.is_err(), "something else came");
    }
}
