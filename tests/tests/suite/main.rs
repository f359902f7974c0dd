//! End-to-end tests that belong to no single route group.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod auth;
mod backends;
mod caching;
mod coding;
mod cors;
mod errors;
mod home;
mod house;
mod limit;
mod owasp;
mod proxy;
mod robustness;
mod secrets;
mod store;
mod sync;
mod timing;
mod versions;
