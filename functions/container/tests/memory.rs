//! The container as a process: what a flood of thumbnails takes of its memory.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used)]

use std::{fs, net::SocketAddr, num::NonZeroUsize, process::Stdio, thread::available_parallelism, time::Duration};

use axum::{Router, body::Bytes, extract::Path, routing::get};
use dev::settings;
use photos::Photo;
use tests::server::{SETTINGS, free_port};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

const MB: u64 = 1024 * 1024;
/// The largest file that is read: docs/thumbnails.md.
const LARGEST: usize = 20 * 1024 * 1024;
/// Connections, and what the allocator keeps: for a thousand clients.
const REST: u64 = 96 * MB;
/// glibc keeps a freed block for the next one, in each of its arenas, unless it is told what is large.
const GIVE_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

/// A bucket with a small photo, and one in a file that is as large as a file may be.
async fn bucket() -> SocketAddr {
    let small = Bytes::from(Photo::of("small").jpeg(64, 48));
    let mut large = Photo::of("large").jpeg(2000, 1500);
    // What follows the end of a picture is read, and means nothing.
    large.resize(LARGEST, 0);
    let large = Bytes::from(large);
    let object = async move |Path((_, key)): Path<(String, String)>| {
        if key == "large.jpg" { large.clone() } else { small.clone() }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{bucket}/{*key}", get(object))).await });
    address
}

struct Container {
    process: Child,
    address: String,
    client: reqwest::Client,
}

impl Container {
    async fn start(bucket: SocketAddr) -> Self {
        let port = free_port().to_string();
        let process = Command::new(env!("CARGO_BIN_EXE_container"))
            .env_clear()
            .envs(settings::pairs().chain(SETTINGS))
            // Nothing of a thumbnail needs the database.
            .env("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
            .env("AWS_ENDPOINT_URL_S3", format!("http://{bucket}"))
            .envs([("PORT", port.as_str()), ("LOG_LEVEL", "off")])
            .env(GIVE_BACK.0, GIVE_BACK.1)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the container starts");
        shared::backend::upstream::install_tls_provider();
        let client = reqwest::Client::new();
        let this = Self { process, address: format!("http://127.0.0.1:{port}"), client };
        for _ in 0..600 {
            if this.client.get(format!("{}/health", this.address)).send().await.is_ok() {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the container does not answer");
    }

    async fn status(&self, target: String) -> u16 {
        let answer = self.client.get(format!("{}{target}", self.address)).send().await.expect("an answer");
        let status = answer.status().as_u16();
        answer.bytes().await.expect("a whole answer");
        status
    }

    /// The most memory that the process has ever had, in bytes.
    fn peak(&self) -> u64 {
        let id = self.process.id().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

/// Sizes that no cache has, asked for all at once, of the largest file: as many as are made at a time are in memory,
/// whoever else waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_thumbnails_at_once_take_the_memory_of_those_that_are_made() {
    let container = Container::start(bucket().await).await;
    assert_eq!(container.status("/images/small.jpg?w=32".into()).await, 200);
    let before = container.peak();
    for width in [16, 32, 48] {
        assert_eq!(container.status(format!("/images/large.jpg?w={width}")).await, 200);
    }
    let one = container.peak() - before;
    assert!(one >= LARGEST as u64, "the file is in memory once: {} MB", one / MB);

    let answers = (1..=1000).map(|height| container.status(format!("/images/large.jpg?w=320&h={height}&format=webp")));
    let answers = futures_util::future::join_all(answers).await;
    let turns = available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let (taken, bound) = (container.peak() - before, turns * one + REST);
    println!("{} MB for one, {} MB for a thousand; at most {} MB", one / MB, taken / MB, bound / MB);
    assert!(taken <= bound, "{} MB for {turns} at a time, each {} MB", taken / MB, one / MB);

    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    // Those at the end of the queue may be too late on a slow machine.
    assert_eq!(count(200) + count(429) + count(504), 1000, "{answers:?}");
    assert!(count(200) > 0 && count(429) > 0, "{answers:?}");
}
