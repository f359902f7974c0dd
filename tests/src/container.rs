//! The container as a process.

use std::{
    env,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use dev::{memory, settings};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    sync::watch,
};

use crate::{logs, server::SETTINGS};

/// How long a start or an end may take on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that is started in place of the binary.
fn in_place() -> Option<OsString> {
    env::var_os("CONTAINER")
}

/// The image that this program runs, if it does.
fn image() -> Option<OsString> {
    env::var_os("IMAGE").filter(|_| in_place().is_some())
}

/// A running container. It is stopped when this is dropped.
pub struct Container {
    process: Child,
    log: watch::Receiver<Vec<Value>>,
    /// Where it serves requests.
    pub address: SocketAddr,
    /// Where it serves metrics.
    pub metrics: SocketAddr,
}

impl Container {
    /// The binary, or what stands for it, without an environment.
    pub fn command(binary: &Path) -> Command {
        let mut command = Command::new(in_place().unwrap_or_else(|| binary.into()));
        command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(image().map(|image| ("IMAGE", image)));
        command
    }

    /// Whether this is a binary itself, which can be killed and measured, and not a program that runs an image.
    pub fn is_the_process() -> bool {
        image().is_none()
    }

    /// Whether it was built with the tests, with all features of the workspace.
    pub fn is_ours() -> bool {
        in_place().is_none()
    }

    /// Starts the container on a DynamoDB, with some settings changed, on ports that are free.
    ///
    /// The variable `CONTAINER` names a program to start in place of the binary, with the same environment: another binary
    /// or, where `IMAGE` names an image, a script that runs it.
    pub async fn start(binary: &Path, endpoint: &str, changes: impl IntoIterator<Item = (&str, &str)>) -> Self {
        let own =
            [("AWS_ENDPOINT_URL_DYNAMODB", endpoint), ("PORT", "0"), ("METRICS_PORT", "0"), ("LOG_FORMAT", "json")];
        let mut process = Self::command(binary)
            .envs(settings::pairs().filter(|(_, value)| !value.is_empty()).chain(SETTINGS))
            .envs(own)
            .envs(changes)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let (sender, log) = watch::channel(Vec::new());
        logs::follow_into(process.stdout.take().expect("piped"), move |line| {
            // A server that does not log JSON has its reason, which a person wants to see.
            let line = serde_json::from_str(&line).unwrap_or_else(|_| line.into());
            sender.send_modify(|lines| lines.push(line));
        });
        let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut container = Self { process, log, address: unknown, metrics: unknown };
        container.address = container.listening("PORT").await;
        container.metrics = container.listening("METRICS_PORT").await;
        container
    }

    async fn listening(&mut self, setting: &str) -> SocketAddr {
        let line = self.logged(|line| line["message"] == "listening" && line["setting"] == setting).await;
        let address: SocketAddr = line["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        (Ipv4Addr::LOCALHOST, address.port()).into()
    }

    /// Waits for a line of the log.
    pub async fn logged(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = self.log.wait_for(|lines| lines.iter().any(&is_it));
        let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|seen| seen.is_ok());
        let lines = self.log.borrow();
        let line = lines.iter().find(|line| is_it(line)).cloned();
        line.filter(|_| found).unwrap_or_else(|| panic!("the container does not say so: {lines:?}"))
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.borrow().clone()
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("a running process")
    }

    /// The memory that the process holds, in bytes.
    pub fn memory(&self) -> Option<u64> {
        memory::resident(self.pid())
    }

    /// The most memory that the process has ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        memory::peak(self.pid()).expect("a process of Linux")
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().await;
        assert!(sent.expect("kill runs").success(), "SIG{name} could not be sent");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let end = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        end.unwrap_or_else(|_| panic!("the container does not stop: {:?}", self.log.borrow())).expect("a child")
    }
}

/// Panics when its log tells what it must not.
impl Drop for Container {
    fn drop(&mut self) {
        if Self::is_the_process() {
            let _ = self.process.start_kill();
        } else if let Some(id) = self.process.id() {
            // What runs the container passes this on, while its own death would leave the container behind.
            let _ = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
        }
        logs::check();
    }
}
