//! The Lambda function that serves orders.

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::lambda(|app| Ok(orders::router(orders::State::new(app)?))).await
}
