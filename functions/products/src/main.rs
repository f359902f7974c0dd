//! The Lambda function that serves products.

use shared::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::lambda(|app| Ok(products::router(products::State::new(app)?))).await
}
