//! An embedded DynamoDB that speaks the real protocol over HTTP.

use std::{fs, io, net::SocketAddr, path::Path};

use aws_sdk_dynamodb::types::AttributeValue;
use dynoxide::ImportOptions;
use shared::delta::Item;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A running server. It stops when this is dropped.
pub struct Database {
    store: dynoxide::Database,
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
        let serving = database.clone();
        let served = tokio::spawn(async move {
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener, serving, until).await {
                tracing::error!(%error, "the embedded DynamoDB stopped");
            }
        });
        Ok(Self { store: database, address, stop: Some(stop), served })
    }

    /// The endpoint for an AWS SDK.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts many items into a table at once, past the protocol: all of them or none.
    ///
    /// # Errors
    /// When the table is not there or an item is not one of it.
    pub fn import(&self, table: &str, items: Vec<Item>) -> io::Result<()> {
        let items = items.into_iter().map(to_embedded).collect::<io::Result<_>>()?;
        let imported = self.store.import_items(table, items, ImportOptions::default());
        imported.map(drop).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Whether a table has no items.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_empty(&self, table: &str) -> io::Result<bool> {
        let tables = self.store.table_stats().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(tables.iter().all(|stats| stats.table_name != table || stats.item_count == 0))
    }

    /// Stops the server and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let _ = self.served.await;
    }
}

/// The same item in the types of the embedded store.
fn to_embedded(item: Item) -> io::Result<dynoxide::types::Item> {
    item.into_iter().map(|(name, value)| Ok((name, to_embedded_value(value)?))).collect()
}

fn to_embedded_value(value: AttributeValue) -> io::Result<dynoxide::types::AttributeValue> {
    use dynoxide::types::AttributeValue as Embedded;
    Ok(match value {
        AttributeValue::S(text) => Embedded::S(text),
        AttributeValue::N(number) => Embedded::N(number),
        AttributeValue::Bool(truth) => Embedded::BOOL(truth),
        AttributeValue::Null(null) => Embedded::NULL(null),
        AttributeValue::L(list) => Embedded::L(list.into_iter().map(to_embedded_value).collect::<io::Result<_>>()?),
        AttributeValue::M(map) => Embedded::M(to_embedded(map)?),
        other => return Err(io::Error::other(format!("{other:?} has no place in an import"))),
    })
}
