//! End-to-end tests that belong to no single route group.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod auth;
mod backends;
mod caching;
mod coding;
mod cors;
mod deployed;
mod errors;
mod home;
mod house;
mod images;
mod limit;
mod lure;
mod openapi;
mod owasp;
mod proxy;
mod robustness;
mod secrets;
mod share;
mod store;
mod sync;
mod template;
mod timing;
mod versions;
