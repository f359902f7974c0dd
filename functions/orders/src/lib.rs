//! Orders: a user's own, written under optimistic locking, each change in a gapless log.

mod model;
mod pricing;
mod routes;
mod store;
mod view;
mod write;

pub use model::{Line, Order, OrderDraft, Status};
pub use routes::{State, router};
pub use store::{Orders, scope_of};
pub use view::{LineV1, LineV2, OrderV1, OrderV2};
