//! The store that every contestant reads from, and its own answer time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
};

use crate::Failure;

/// One connection to `DynamoDB`, kept open.
///
/// It speaks just enough HTTP to measure the store without the cost of a client library, so what it measures is the
/// least that can be subtracted.
pub(crate) struct Connection {
    stream: BufStream<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects to an endpoint such as `http://127.0.0.1:8000`.
    pub(crate) async fn open(endpoint: &str) -> Result<Self, Failure> {
        let host = endpoint.strip_prefix("http://").ok_or("the store's endpoint must be plain HTTP")?;
        let host = host.trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufStream::new(stream), host })
    }

    /// Reads one item, and says how long the store took.
    pub(crate) async fn get_item(&mut self, table: &str, id: &str) -> Result<(Value, Duration), Failure> {
        let request = json!({"TableName": table, "Key": {"id": {"S": id}}, "ConsistentRead": true}).to_string();
        let start = Instant::now();
        let (status, body) = self.call("GetItem", &request).await?;
        let took = start.elapsed();
        if status != 200 {
            return Err(format!("the store refused GetItem: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        let mut answer: Value = serde_json::from_slice(&body)?;
        match answer["Item"].take() {
            Value::Null => Err(format!("the store has no user {id} in {table}").into()),
            item => Ok((item, took)),
        }
    }

    async fn call(&mut self, operation: &str, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        // The emulated store wants to see a signature, but does not verify it.
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\
             X-Amz-Target: DynamoDB_20120810.{operation}\r\n\
             X-Amz-Date: 20260101T000000Z\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=00\r\n\r\n",
            self.host,
            body.len(),
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body.as_bytes()).await?;
        self.stream.flush().await?;

        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or("the store closed the connection")?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((status, body))
    }
}
