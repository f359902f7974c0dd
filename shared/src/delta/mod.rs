//! Versioned rows with a gapless change log, on one DynamoDB table.
//!
//! Each *scope* (a user's orders, the public catalogue) is one partition: a row for each entity, a log entry for each
//! change, and one head. A write changes all three in one transaction, so the log says exactly what the rows say, in an
//! order that no clock decides. Any type that serde can store is an [`Entity`].

mod change_log;
mod conflict;
mod once;
mod schema;
mod sync;
mod token;
mod transaction;

pub use change_log::{Change, ChangeLog, Decide, Effect, Index, Outcome};
pub use conflict::{Verdict, judge, judge_deletion};
pub use once::Once;
pub use schema::{Item, Record, initial_items};
pub use sync::{Delta, Reason, SyncRequest};
pub use token::{Bookmark, Position, SyncTokens, Tokens, view_hash};

use serde::{Serialize, de::DeserializeOwned};

/// Something that is stored in versions.
pub trait Entity: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Attributes of the row for secondary indexes, beside the entity itself.
    fn index_attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
