//! The Lambda function that serves products.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    runtime::lambda(|app| Ok(products::router(products::State::new(app)?))).await
}
