//! Every route group as one Lambda function: what the container is compared with. Whoever has little traffic may deploy it.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main]
async fn main() -> ExitCode {
    runtime::lambda(container::routes).await
}
