//! The Lambda function that serves the home screen.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    runtime::lambda(|app| Ok(home::router(home::State::new(app)?))).await
}
