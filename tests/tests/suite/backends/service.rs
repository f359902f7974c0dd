//! A service behind the BFF that does whatever a service may do.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dev::demo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};

/// How the service treats a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manners {
    /// Answers with the demo data.
    Good,
    /// The same, but the first request since the last look is reset.
    Stumbles,
    /// The same, but writes are reset.
    NoWrites,
    /// Closes the connection with a reset before it says anything.
    Reset,
    /// Promises a body and resets the connection within it.
    ResetInBody,
    /// Takes the request and says nothing.
    Silent,
    /// Sends a byte now and then, for ever.
    Drip,
    /// Answers with these bytes.
    Says(&'static str),
    /// Sends a body of 100 MB, with or without saying so first.
    Huge {
        /// Whether `Content-Length` says so.
        announced: bool,
    },
    /// Sends every request back to where it came from.
    Redirect,
}

/// A service on TCP, with the manners that it has been taught, and the requests that it has got.
#[derive(Clone)]
pub(crate) struct Misbehaving {
    manners: Arc<Mutex<Manners>>,
    requests: Arc<Mutex<Vec<String>>>,
    pub(crate) sent: Arc<AtomicUsize>,
    pub(crate) address: SocketAddr,
}

impl Misbehaving {
    pub(crate) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            Self { manners: Arc::new(Mutex::new(manners)), requests: Arc::default(), sent: Arc::default(), address };
        let serving = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                // A client that goes away is no failure of this service.
                tokio::spawn(async move { serving.serve(stream).await.unwrap_or_default() });
            }
        });
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn teach(&self, manners: Manners) {
        *self.manners.lock().unwrap() = manners;
    }

    /// The heads of the requests since the last look.
    pub(crate) fn look(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let head = read_head(&mut stream).await?;
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let (is_write, nth) = (head.starts_with("patch"), {
            let mut requests = self.requests.lock().unwrap();
            requests.push(head);
            requests.len()
        });
        let manners = *self.manners.lock().unwrap();
        match manners {
            Manners::Reset => return stream.set_zero_linger(),
            Manners::Stumbles if nth == 1 => return stream.set_zero_linger(),
            Manners::NoWrites if is_write => return stream.set_zero_linger(),
            Manners::Good | Manners::Stumbles | Manners::NoWrites => {
                let body = good(&target).to_string();
                stream.write_all(answer("200 OK", &body).as_bytes()).await?;
            }
            Manners::Says(bytes) => stream.write_all(bytes.as_bytes()).await?,
            Manners::ResetInBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"id\":").await?;
                // What has been sent is there before the reset is.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return stream.set_zero_linger();
            }
            Manners::Silent => drop(stream.read_u8().await),
            Manners::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Manners::Huge { announced } => {
                let size = 100_000_000;
                let length = if announced { format!("content-length: {size}\r\n") } else { String::new() };
                stream.write_all(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n").as_bytes()).await?;
                let chunk = vec![b' '; 65536];
                while self.sent.load(Ordering::SeqCst) < size {
                    stream.write_all(&chunk).await?;
                    self.sent.fetch_add(chunk.len(), Ordering::SeqCst);
                }
            }
            Manners::Redirect => {
                let place = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(place.as_bytes()).await?;
            }
        }
        stream.shutdown().await
    }
}

pub(crate) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn good(target: &str) -> Value {
    let product = |n| {
        let mut product = json!(demo::product(n));
        (product["id"], product["version"]) = (json!(format!("p-{n:04}")), json!(1));
        product
    };
    match target {
        "/users/user-123" => json!(demo::user(123).unwrap()),
        "/products/p-0001" => product(1),
        list if list.starts_with("/products?") => json!({ "items": [product(2), product(1)], "nextCursor": "p-0001" }),
        other => panic!("{other}"),
    }
}

/// The head of a request, in lower case.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).to_lowercase())
}

/// A service with good manners behind TLS, with a certificate for `localhost` of a root that only these tests know.
pub(crate) async fn encrypted() -> String {
    let certificate = include_bytes!("../../../keys/localhost.der").to_vec();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(include_bytes!("../../../keys/localhost.key.der").to_vec());
    shared::backend::upstream::install_tls_provider();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.into()], key.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let head = read_head(&mut stream).await?;
                let body = good(head.split(' ').nth(1).unwrap_or_default()).to_string();
                stream.write_all(answer("200 OK", &body).as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    format!("https://localhost:{}", address.port())
}
