//! The Lambda function that serves thumbnails.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    runtime::lambda(|app| Ok(thumbnails::router(thumbnails::State::new(app)?))).await
}
