//! The container as a process.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod alarms;
mod clients;
mod context;
mod deaf;
#[cfg(target_os = "linux")]
mod dear;
mod end;
mod forms;
mod frames;
mod http2;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
mod overload;
mod parity;
mod wire;
mod writes;

use tests::container::Container;

const DOCKERFILE: &str = include_str!("../../Dockerfile");

/// Starts the container on a DynamoDB, with what the image sets, and some settings changed.
async fn container<'a>(endpoint: &str, changes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Container {
    let of_image = DOCKERFILE.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    Container::start(env!("CARGO_BIN_EXE_container").as_ref(), endpoint, of_image.chain(changes)).await
}
