//! The Lambda function that serves users.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    runtime::lambda(|app| Ok(users::router(users::State::new(app)?))).await
}
