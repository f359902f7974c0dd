//! The server that Fargate runs.

use std::process::ExitCode;

use shared::runtime;

/// Faster than glibc's, and it gives back what is not used: docs/container.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    runtime::server(container::routes)
}
