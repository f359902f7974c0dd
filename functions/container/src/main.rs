//! The server that Fargate runs.

use std::process::ExitCode;

use shared::runtime;

#[tokio::main]
async fn main() -> ExitCode {
    runtime::server(container::routes, runtime::termination()).await
}
