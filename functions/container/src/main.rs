//! The server that Fargate runs.

use std::process::ExitCode;

use shared::runtime;

fn main() -> ExitCode {
    runtime::server(container::routes)
}
