//! HTTP/2 frame by frame: a client that does exactly what it is told.

use std::{collections::BTreeMap, io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::wire::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const CANCEL: u32 = 8;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at this place of the payload.
    pub(crate) fn number(&self, place: usize) -> u32 {
        u32::from_be_bytes(self.payload[place..place + 4].try_into().unwrap())
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of headers: each as it is, without a table, without Huffman's code.
pub(crate) fn block<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            let byte = |number: usize| u8::try_from(number).unwrap();
            block.push(byte(text.len().min(127)));
            let mut rest = text.len().checked_sub(127);
            while let Some(number) = rest {
                let more = number >= 128;
                block.push(byte(number % 128) | if more { 128 } else { 0 });
                rest = more.then_some(number / 128);
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The headers of a request, and some more of them.
pub(crate) fn request<'a>(method: &'a str, target: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let own = [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", target)];
    block(own.into_iter().chain(more.iter().copied()))
}

/// The bytes of a `GET`.
pub(crate) fn get(stream: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", target, &[]))
}

/// One connection.
pub(crate) struct Frames {
    stream: TcpStream,
    /// What has come of answers.
    bodies: BTreeMap<u32, Vec<u8>>,
}

impl Frames {
    /// A client that takes so much of each answer, until it says that it takes more.
    pub(crate) async fn open(address: SocketAddr, window: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // So that what it does not read soon stays with the server.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self { stream, bodies: BTreeMap::new() };
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        frames.write(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await.unwrap();
        frames
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await.unwrap();
    }

    /// Sends a `GET`.
    pub(crate) async fn get(&mut self, stream: u32, target: &str) {
        self.write(&get(stream, target)).await.unwrap();
    }

    /// The next frame, or nothing when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.read()).await.expect("a frame, or the end").ok()
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of a kind. What comes before it is passed over.
    pub(crate) async fn frame(&mut self, kind: u8) -> Frame {
        loop {
            let next = self.next().await.expect("the connection goes on");
            if next.kind == kind {
                return next;
            }
        }
    }

    /// The body of the next answer that is whole, and the number of its stream.
    pub(crate) async fn answer(&mut self) -> (u32, Vec<u8>) {
        loop {
            let next = self.next().await.expect("the connection goes on");
            // Without an error it says that the rest of the request is not needed.
            let fails = next.kind == GOAWAY || (next.kind == RST_STREAM && next.number(0) != 0);
            assert!(!fails, "{next:?}");
            if next.kind == DATA {
                self.bodies.entry(next.stream).or_default().extend(&next.payload);
            }
            if [DATA, HEADERS].contains(&next.kind) && next.flags & END_STREAM != 0 {
                return (next.stream, self.bodies.remove(&next.stream).unwrap_or_default());
            }
        }
    }

    /// The next answer, which is an error of the model with this code.
    pub(crate) async fn is_error(&mut self, stream: u32, status: u16, code: &str) {
        let (of, body) = self.answer().await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((of, body["status"].as_u64(), body["code"].as_str()), (stream, Some(status.into()), Some(code)));
    }

    /// Asks how the server is, on this stream. It is well.
    pub(crate) async fn is_well(&mut self, stream: u32) {
        self.get(stream, "/health").await;
        assert_eq!(self.answer().await, (stream, br#"{"status":"ok"}"#.to_vec()));
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn ends(&mut self) {
        let end = async { while self.read().await.is_ok() {} };
        timeout(PATIENCE, end).await.expect("the server closes the connection");
    }
}
