//! What every route group of the backend-for-frontend leans on.
//!
//! A request flows in one direction: [`runtime`] turns a Lambda event or a TCP connection into an HTTP request,
//! [`http::stack`] runs the one ordered middleware stack, the route group's handler asks [`backend`] or [`delta`] for
//! data, [`slim`] turns it into a view, and [`error`] turns whatever went wrong into one JSON object.

// The `Slim` derive writes `::shared::…`, also when it is used inside this crate.
extern crate self as shared;

pub mod backend;
pub mod config;
pub mod delta;
pub mod error;
pub mod http;
pub mod id;
pub mod image;
pub mod runtime;
pub mod secrets;
pub mod slim;
pub mod telemetry;
pub mod values;

pub use error::{ApiError, Code};
pub use id::Id;
