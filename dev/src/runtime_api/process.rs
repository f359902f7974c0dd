//! A Lambda binary as a process.

use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::{Invocation, InvokeError, RuntimeApi, Shared};
use crate::secrecy::Secrets;

/// A Lambda binary that runs against a [`RuntimeApi`] of its own.
///
/// The process is killed when this is dropped.
pub struct LambdaProcess {
    api: RuntimeApi,
    pid: u32,
    spawned: Instant,
    log: watch::Sender<Vec<String>>,
    secrets: Secrets,
    kill: Option<oneshot::Sender<()>>,
    watcher: JoinHandle<Option<ExitStatus>>,
}

impl LambdaProcess {
    /// Starts a binary with the given environment.
    ///
    /// The process sees these variables, those of [`RuntimeApi::env`] unless given here, and `PATH`; nothing else of
    /// the caller's environment.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn spawn<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        binary: impl AsRef<OsStr>,
        envs: impl IntoIterator<Item = (K, V)>,
    ) -> io::Result<Self> {
        Self::spawn_with_args(binary, [] as [&str; 0], envs).await
    }

    /// Like [`LambdaProcess::spawn`], for a program that takes arguments, such as an interpreter.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn spawn_with_args<A: AsRef<OsStr>, K: AsRef<OsStr>, V: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        envs: impl IntoIterator<Item = (K, V)>,
    ) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.args(args).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let envs: Vec<(K, V)> = envs.into_iter().collect();
        let texts = envs.iter().filter_map(|(name, value)| Some((name.as_ref().to_str()?, value.as_ref().to_str()?)));
        let secrets = Secrets::of(texts);
        command.envs(api.env()).envs(envs);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);

        let spawned = Instant::now();
        let mut child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot start {}: {error}", program.to_string_lossy()))
        })?;
        let pid = child.id().unwrap_or_default();

        let log = watch::Sender::new(Vec::new());
        let readers = [
            child.stdout.take().map(|stream| tokio::spawn(collect(stream, log.clone()))),
            child.stderr.take().map(|stream| tokio::spawn(collect(stream, log.clone()))),
        ];
        let (kill, killed) = oneshot::channel();
        let watcher = tokio::spawn(watch_over(child, readers, killed, Arc::clone(&api.shared), log.clone()));
        Ok(Self { api, pid, spawned, log, secrets, kill: Some(kill), watcher })
    }

    /// The API that the process talks to.
    pub fn api(&self) -> &RuntimeApi {
        &self.api
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When the process was started.
    pub fn spawned(&self) -> Instant {
        self.spawned
    }

    /// The time from the start of the process to its first request for an event. Waits for that request.
    ///
    /// # Errors
    /// When the function fails to start, goes away, or does not ask within [`INIT_LIMIT`](super::INIT_LIMIT).
    pub async fn init_duration(&self) -> Result<Duration, InvokeError> {
        Ok(self.api.first_poll().await? - self.spawned)
    }

    /// Hands an event to the function and waits for the answer: see [`RuntimeApi::invoke`].
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub async fn invoke(&self, event: &Value, time_limit: Duration) -> Result<Invocation, InvokeError> {
        self.api.invoke(event, time_limit).await
    }

    /// The lines that the process has written so far to its output and its error output, in order of arrival.
    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits for a line of the log that fulfils a condition; a line already written counts.
    pub async fn wait_for_log(&self, limit: Duration, mut condition: impl FnMut(&str) -> bool) -> Option<String> {
        let mut log = self.log.subscribe();
        let mut seen = 0;
        let mut found = None;
        let search = log.wait_for(|lines| {
            found = lines[seen..].iter().find(|line| condition(line)).cloned();
            seen = lines.len();
            found.is_some()
        });
        let _ = tokio::time::timeout(limit, search).await;
        found
    }

    /// The most memory that the process has held so far (peak resident set), in bytes. Linux only.
    pub fn peak_memory(&self) -> Option<u64> {
        crate::memory::peak(self.pid)
    }

    /// Kills the process, waits for its end, and says how it ended. The log is complete after this.
    ///
    /// The answer is `None` when it was stopped before or could not be waited for.
    ///
    /// # Panics
    /// When the log tells a secret, a token or an e-mail address.
    pub async fn stop(&mut self) -> Option<ExitStatus> {
        let kill = self.kill.take()?;
        // It may have ended by itself, and then nobody listens.
        let _ = kill.send(());
        let status = (&mut self.watcher).await.ok().flatten();
        self.check_secrecy();
        status
    }

    fn check_secrecy(&self) {
        for line in &*self.log.borrow() {
            if let Some(told) = self.secrets.told_by(line) {
                panic!("the log tells {told}: {line}");
            }
        }
    }
}

/// Panics when the log, as far as it was read, tells a secret, a token or an e-mail address.
impl Drop for LambdaProcess {
    fn drop(&mut self) {
        // The task owns the child, which is killed when dropped.
        self.watcher.abort();
        // A test that fails already needs no second reason, and could not bear one.
        if self.kill.is_some() && !std::thread::panicking() {
            self.check_secrecy();
        }
    }
}

/// Adds each line of a stream to the log.
async fn collect(stream: impl AsyncRead + Unpin, log: watch::Sender<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    // Read as bytes: a function may write what is not UTF-8.
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        log.send_modify(|lines| lines.push(text));
        line.clear();
    }
}

/// Waits for the end of the process, by itself or when told to kill it, and lets the API know.
async fn watch_over(
    mut child: Child,
    readers: [Option<JoinHandle<()>>; 2],
    killed: oneshot::Receiver<()>,
    shared: Arc<Shared>,
    log: watch::Sender<Vec<String>>,
) -> Option<ExitStatus> {
    let exit = tokio::select! {
        exit = child.wait() => exit,
        Ok(()) = killed => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    // The last lines usually say why. A process left behind by the function could hold its output open for ever.
    for reader in readers.into_iter().flatten() {
        let _ = tokio::time::timeout(Duration::from_millis(500), reader).await;
    }
    let ended = exit.as_ref().map_or_else(ToString::to_string, ToString::to_string);
    let lines = log.borrow();
    let tail = lines[lines.len().saturating_sub(5)..].join("\n");
    shared.end(InvokeError::Gone(if tail.is_empty() { ended } else { format!("{ended}\n{tail}") }));
    exit.ok()
}
