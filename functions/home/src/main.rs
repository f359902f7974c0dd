//! The Lambda function that serves the home screen.

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::lambda(|app| Ok(home::router(home::State::new(app)?))).await
}
