//! The Lambda function that serves users.

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::lambda(|app| Ok(users::router(users::State::new(app)?))).await
}
