//! The Lambda function that serves orders.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    runtime::lambda(|app| Ok(orders::router(orders::State::new(app)?))).await
}
