//! The HTTP layer that every route group shares: the middleware stack, extractors, authentication and preconditions.

pub mod address;
pub mod auth;
pub mod batch;
pub mod cache;
pub mod call;
pub mod compress;
pub mod context;
mod cors;
pub mod edit;
pub mod extract;
mod health;
pub mod idempotency;
mod json;
pub mod limit;
pub mod page;
pub mod precondition;
mod record;
pub mod share;
pub mod stack;
pub mod sync;
pub mod versions;
pub mod view;
