//! No log line of the whole test run tells a token, an e-mail address or a secret.
//!
//! Functions that run as processes are watched by [`dev::runtime_api::LambdaProcess`]; here are the services that run in
//! the process of a test, and the other processes.

use std::{
    io,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use dev::{secrecy::Secrets, settings};
use shared::telemetry;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    task::JoinHandle,
};

static STARTED: Once = Once::new();
/// What all services of this process together must not tell, and what they have told of it.
static WATCHED: Mutex<Watched> = Mutex::new(Watched { secrets: None, leaks: Vec::new() });

struct Watched {
    secrets: Option<Secrets>,
    leaks: Vec<String>,
}

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches the log of this process from now on: in its own format, at the level of production. `changes` are settings
/// that differ from `dev/local.env`.
pub fn watch<'a>(changes: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for secrets in [Secrets::of(settings::pairs()), Secrets::of(changes)] {
        watched().secrets.get_or_insert_default().extend(secrets);
    }
    STARTED
        .call_once(|| telemetry::to(telemetry::LevelFilter::INFO, || Watcher).expect("the only log of this process"));
}

/// Fails the test when a line has told what it must not.
///
/// # Panics
/// Then; not in a test that fails already.
pub fn check() {
    let leaks = std::mem::take(&mut watched().leaks);
    assert!(leaks.is_empty() || std::thread::panicking(), "{}", leaks.join("\n"));
}

/// Looks at a line of another process.
pub fn look_at(line: &str) {
    let mut watched = watched();
    if let Some(told) = watched.secrets.get_or_insert_default().told_by(line) {
        let leak = format!("the log tells {told}: {line}");
        // For whoever reads this process, should it be one of many.
        println!("{leak}");
        watched.leaks.push(leak);
    }
}

/// Looks at each line that another process writes, until its end.
pub fn follow(stream: impl AsyncRead + Send + Unpin + 'static) -> JoinHandle<()> {
    follow_into(stream, drop)
}

/// Likewise, and passes the lines on.
pub fn follow_into(
    stream: impl AsyncRead + Send + Unpin + 'static,
    mut reader: impl FnMut(String) + Send + 'static,
) -> JoinHandle<()> {
    watched().secrets.get_or_insert_default().extend(Secrets::of(settings::pairs()));
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            look_at(&line);
            reader(line);
        }
    })
}

/// What a log is written to: it is looked at, and goes nowhere.
struct Watcher;

impl io::Write for Watcher {
    /// The whole of a line at a time.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        look_at(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
