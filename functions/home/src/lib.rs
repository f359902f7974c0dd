//! The home screen in one call: profile, recent orders, featured products.

mod parts;
mod routes;

pub use routes::{State, router};
