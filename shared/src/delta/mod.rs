//! Versioned rows with a gapless change log, on one DynamoDB table.
//!
//! Each *scope* (a user's orders, the public catalogue) is one partition: a row for each entity, a log entry for each
//! change, and one head. A write changes all three in one transaction, so the log says exactly what the rows say, in an
//! order that no clock decides. Any type that serde can store is an [`Entity`].

mod change_log;
mod conflict;
mod dynamo;
mod once;
mod schema;
pub mod store;
mod sync;
mod token;
mod write;

pub use change_log::ChangeLog;
pub use conflict::{Verdict, judge, judge_deletion};
pub use dynamo::DynamoStore;
pub use once::{MutationId, Once};
pub use schema::{HEAD, Item, Record, Retention, initial_items, new_epoch};
pub use store::Index;
pub use sync::{Delta, Reason, SyncRequest};
pub use token::{Bookmark, Position, SyncTokens, Tokens, Top, view_hash};
pub use write::{Change, Decide, Effect, MAX_BATCH, Mutation, Outcome};

use serde::{Serialize, de::DeserializeOwned};

/// Something that is stored in versions.
pub trait Entity: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Attributes of the row for secondary indexes, beside the entity itself.
    fn index_attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
