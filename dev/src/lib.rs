//! Local development: an embedded DynamoDB with demo data, a bucket of photos, tokens to try it with, and a stand-in for the Lambda
//! Runtime API. The end-to-end tests and the benchmark use the same parts.

pub mod app;
pub mod bucket;
pub mod cli;
pub mod database;
pub mod demo;
pub mod epoch;
pub mod memory;
pub mod runtime_api;
pub mod secrecy;
pub mod settings;
pub mod tables;
pub mod token;
pub mod upstream;
