//! A server under load.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    time::{Duration, Instant},
};

use dev::memory;
use tokio::process::{Child, Command};

use crate::Failure;

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Starts a program that listens on the port that the variable `PORT` names, and waits until it answers.
    pub(crate) async fn start(mut command: Command, port: u16) -> Result<Self, Failure> {
        command.env("PORT", port.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let process = command.spawn()?;
        let mut server = Self { process, address: format!("http://127.0.0.1:{port}") };
        let start = Instant::now();
        while reqwest::get(server.url("/health")).await.is_err() {
            if server.process.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(30) {
                return Err(format!("{command:?} does not answer").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// The address of a route.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}{target}", self.address)
    }

    /// The memory that it holds, in megabytes, with all processes that it has started.
    pub(crate) fn memory(&self) -> f64 {
        self.sum(memory::resident) / 1e6
    }

    /// The CPU time that it has had so far, in seconds, with all processes that it has started.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.sum(ticks) / TICKS_PER_SECOND
    }

    fn sum(&self, of: fn(u32) -> Option<u64>) -> f64 {
        let sum = self.process.id().map_or(0, |pid| with_children(pid, of));
        #[expect(clippy::cast_precision_loss, reason = "bytes and ticks are far below 2^52")]
        let sum = sum as f64;
        sum
    }
}

/// `USER_HZ`, on every processor that this runs on (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// `utime` and `stime`.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut times = rest.split(' ').skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

fn with_children(pid: u32, of: fn(u32) -> Option<u64>) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> =
        lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    of(pid).unwrap_or_default() + children.into_iter().map(|child| with_children(child, of)).sum::<u64>()
}

/// Below the ports that the system gives to clients, so that nobody takes it in between.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (15_000..30_000)
        .map(|port| port + u16::try_from(std::process::id() % 1000).unwrap_or_default())
        .find(free)
        .ok_or_else(|| "no port is free".into())
}
