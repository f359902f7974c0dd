//! Thumbnails: pictures of a bucket, made smaller for a screen.
//!
//! Behind a CDN this is the regional origin that Lambda@Edge leaves the large ones to; in the container and in
//! `cargo dev` it serves all of them. What it makes, [`thumbnails_core`] makes for Lambda@Edge with the same bytes.

mod bucket;
mod queue;
mod routes;

pub use routes::{State, router};
