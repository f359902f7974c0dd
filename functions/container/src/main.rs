//! The server that Fargate runs.

use shared::runtime;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::server(container::routes, runtime::termination()).await
}
