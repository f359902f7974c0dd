//! An embedded DynamoDB that speaks the real protocol over HTTP.

use std::{fs, io, net::SocketAddr, path::Path};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Database {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Database {
    /// A new, empty database in memory, on any free port of this machine.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn in_memory() -> io::Result<Self> {
        Self::start(TcpListener::bind(("127.0.0.1", 0)).await?, None)
    }

    /// Serves the database of a folder, or one in memory.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn start(listener: TcpListener, folder: Option<&Path>) -> io::Result<Self> {
        let database = match folder {
            None => dynoxide::Database::memory(),
            Some(folder) => {
                fs::create_dir_all(folder)?;
                dynoxide::Database::new(&folder.join("dynamodb.sqlite").to_string_lossy())
            }
        };
        let database = database.map_err(|error| io::Error::other(error.to_string()))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // A dropped sender stops the server as well.
            let _ = stopped.await;
        };
        let served = tokio::spawn(async move {
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener, database, until).await {
                tracing::error!(%error, "the embedded DynamoDB stopped");
            }
        });
        Ok(Self { address, stop: Some(stop), served })
    }

    /// The endpoint for an AWS SDK.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let _ = self.served.await;
    }
}
