//! A stand-in for the [Lambda Runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
//!
//! A Lambda binary asks this API for events over HTTP, so with it a test or a benchmark runs the real binary through
//! the real protocol, with no AWS account:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use dev::runtime_api::LambdaProcess;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let function = LambdaProcess::spawn("target/debug/products", [("LOG_LEVEL", "debug")]).await?;
//! let event = serde_json::json!({"version": "2.0"});
//! let invocation = function.invoke(&event, Duration::from_secs(3)).await?;
//! assert_eq!(invocation.body["statusCode"], 200);
//! # Ok(())
//! # }
//! ```

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    net::{Ipv4Addr, SocketAddr},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

/// How long a function may take to ask for its first event. Lambda allows as much.
pub const INIT_LIMIT: Duration = Duration::from_secs(10);

/// The largest answer that Lambda takes, in bytes.
pub const RESPONSE_LIMIT: usize = 6_291_556;

const FUNCTION: &str = "local";
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";

/// The environment of a function that is not a secret of the caller's: what Lambda itself would set.
const ENVIRONMENT: [(&str, &str); 14] = [
    ("AWS_LAMBDA_FUNCTION_NAME", FUNCTION),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/local"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]00000000000000000000000000000000"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_REGION", REGION),
    ("AWS_DEFAULT_REGION", REGION),
    // The emulated store takes any credentials, but the SDK wants some.
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_SESSION_TOKEN", "local"),
    ("_HANDLER", "bootstrap"),
    ("LANG", "en_US.UTF-8"),
    ("TZ", ":UTC"),
];

/// An answer of the function, and how long it took.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The id that the function saw in `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// The JSON that the function answered.
    pub body: Value,
    /// The size of that JSON as it came over the wire, in bytes.
    pub body_bytes: usize,
    /// When the event was handed to the function.
    pub handed_out: Instant,
    /// When the whole answer had arrived.
    pub answered: Instant,
}

impl Invocation {
    /// The time from handing out the event to having the whole answer.
    pub fn duration(&self) -> Duration {
        self.answered - self.handed_out
    }
}

/// Why an invocation has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// The function reported that this invocation failed.
    #[error("the function failed with {error_type}: {body}")]
    Function {
        /// The header `Lambda-Runtime-Function-Error-Type`.
        error_type: String,
        /// What the function said about it.
        body: Value,
    },
    /// The function reported that it could not start.
    #[error("the function could not start: {error_type}: {body}")]
    Init {
        /// The header `Lambda-Runtime-Function-Error-Type`.
        error_type: String,
        /// What the function said about it.
        body: Value,
    },
    /// The function did not ask for the event within [`INIT_LIMIT`].
    #[error("the function did not ask for an event within {} s", INIT_LIMIT.as_secs())]
    NotReady,
    /// The function has the event, but did not answer within the deadline.
    #[error("the function did not answer within {} ms", .0.as_millis())]
    NoAnswer(Duration),
    /// The function answered with something else than JSON.
    #[error("the function's answer is not JSON ({error}): {text}")]
    NotJson {
        /// What the parser said.
        error: String,
        /// The answer itself.
        text: String,
    },
    /// The process is gone.
    #[error("the function's process is gone: {0}")]
    Gone(String),
}

/// What a function has done with an event.
enum Answer {
    Response { body: Bytes, at: Instant },
    Error { error_type: String, body: Bytes },
}

/// An event that waits for a function to ask for it.
struct Event {
    id: String,
    payload: Bytes,
    time_limit: Duration,
    handed_out: oneshot::Sender<Instant>,
    answer: oneshot::Sender<Answer>,
}

/// Whether more answers can be hoped for.
#[derive(Clone)]
enum Life {
    Going,
    Over(InvokeError),
}

struct Shared {
    /// Only one long poll at a time holds the queue; the others wait for the lock in the order of their arrival.
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    /// Who waits for the answer to which event that was handed out.
    pending: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    first_poll: watch::Sender<Option<Instant>>,
    life: watch::Sender<Life>,
}

impl Shared {
    /// The first reason stays: a process that reports an init error and then exits has failed for what it reported.
    fn end(&self, reason: InvokeError) {
        self.life.send_if_modified(|life| {
            let going = matches!(life, Life::Going);
            if going {
                *life = Life::Over(reason);
            }
            going
        });
    }
}

/// The Runtime API of one function instance.
///
/// It stops when dropped.
pub struct RuntimeApi {
    addr: SocketAddr,
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Event>,
    ids: AtomicU64,
    server: JoinHandle<()>,
}

impl RuntimeApi {
    /// Starts the API on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (events, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queue: tokio::sync::Mutex::new(queue),
            pending: Mutex::default(),
            first_poll: watch::Sender::new(None),
            life: watch::Sender::new(Life::Going),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            // The limit on an answer is kept by its handler, which has to tell both sides.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        // Without this, Nagle's algorithm and delayed acknowledgements can hold an event back for 40 ms.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { addr, shared, events, ids: AtomicU64::new(1), server })
    }

    /// The address of the API, as `AWS_LAMBDA_RUNTIME_API` gives it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The environment that Lambda would give a function, the address of this API included.
    ///
    /// The credentials are placeholders.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let fixed = ENVIRONMENT.map(|(name, value)| (name, value.to_owned()));
        let mut env = vec![("AWS_LAMBDA_RUNTIME_API", self.addr.to_string())];
        env.extend(fixed);
        env
    }

    /// Hands an event to the function and waits for the answer.
    ///
    /// As in Lambda, the time limit starts when the function takes the event, so a start does not count. Events that
    /// are sent while the function is busy wait for it, in order.
    ///
    /// # Errors
    /// See [`InvokeError`]. An event that has not been handed out by then never will be.
    pub async fn invoke(&self, event: &Value, time_limit: Duration) -> Result<Invocation, InvokeError> {
        let request_id = format!("00000000-0000-4000-8000-{:012x}", self.ids.fetch_add(1, Ordering::Relaxed));
        let (handed_out_sender, handed_out) = oneshot::channel();
        let (answer_sender, answer) = oneshot::channel();
        let event = Event {
            id: request_id.clone(),
            payload: Bytes::from(event.to_string()),
            time_limit,
            handed_out: handed_out_sender,
            answer: answer_sender,
        };
        let stopped = || InvokeError::Gone("the Runtime API has stopped".to_owned());
        self.events.send(event).map_err(|_| stopped())?;

        let handed_out = tokio::select! {
            biased;
            at = handed_out => at.map_err(|_| stopped())?,
            reason = self.over() => return Err(reason),
            () = tokio::time::sleep(INIT_LIMIT) => return Err(InvokeError::NotReady),
        };
        let answer = tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| stopped())?,
            reason = self.over() => return Err(reason),
            () = tokio::time::sleep_until((handed_out + time_limit).into()) => {
                return Err(InvokeError::NoAnswer(time_limit));
            }
        };
        match answer {
            Answer::Error { error_type, body } => Err(InvokeError::Function { error_type, body: lenient(&body) }),
            Answer::Response { body, at } => {
                let body_bytes = body.len();
                let body = serde_json::from_slice(&body).map_err(|error| InvokeError::NotJson {
                    error: error.to_string(),
                    text: String::from_utf8_lossy(&body).into_owned(),
                })?;
                Ok(Invocation { request_id, body, body_bytes, handed_out, answered: at })
            }
        }
    }

    /// When the function first asked for an event, which ends its initialisation. Waits for that.
    ///
    /// # Errors
    /// When the function fails to start, goes away, or does not ask within [`INIT_LIMIT`].
    pub async fn first_poll(&self) -> Result<Instant, InvokeError> {
        let mut first_poll = self.shared.first_poll.subscribe();
        tokio::select! {
            biased;
            at = first_poll.wait_for(Option::is_some) => {
                at.ok().and_then(|at| *at).ok_or(InvokeError::NotReady)
            }
            reason = self.over() => Err(reason),
            () = tokio::time::sleep(INIT_LIMIT) => Err(InvokeError::NotReady),
        }
    }

    /// Waits until there is no hope for another answer, and says why.
    async fn over(&self) -> InvokeError {
        let mut life = self.shared.life.subscribe();
        // The sender lives as long as `self`, so the wait ends with a reason only.
        match life.wait_for(|life| matches!(life, Life::Over(_))).await.as_deref() {
            Ok(Life::Over(reason)) => reason.clone(),
            _ => InvokeError::Gone("the Runtime API has stopped".to_owned()),
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// `GET /runtime/invocation/next`: the long poll.
async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let arrived = Instant::now();
    shared.first_poll.send_if_modified(|first| first.replace(first.unwrap_or(arrived)).is_none());

    let event = {
        let mut queue = shared.queue.lock().await;
        loop {
            match queue.recv().await {
                // Nobody waits for this one any more.
                Some(event) if event.answer.is_closed() => {}
                Some(event) => break event,
                // The API's word for "exit now".
                None => {
                    return refuse(StatusCode::INTERNAL_SERVER_ERROR, "ContainerError", "the Runtime API has stopped");
                }
            }
        }
    };
    // From here to the return there must be no await: a poll that is dropped halfway would lose the event.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = event.id.rsplit('-').next().unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", event.id.clone()),
        ("lambda-runtime-deadline-ms", (now + event.time_limit).as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}")),
        (
            "lambda-runtime-trace-id",
            format!("Root=1-{:08x}-{number:0>24};Parent=0000{number};Sampled=0", now.as_secs()),
        ),
    ];
    shared.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(event.id, event.answer);
    let _ = event.handed_out.send(Instant::now());
    // A body of known size leaves together with the head, in one write.
    (axum::response::AppendHeaders(headers), event.payload).into_response()
}

/// `POST /runtime/invocation/{id}/response`.
async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response {
    let at = Instant::now();
    if body.len() > RESPONSE_LIMIT {
        let message = format!("Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).");
        let error_type = "Function.ResponseSizeTooLarge";
        let answer = json!({"errorType": error_type, "errorMessage": message}).to_string().into();
        let taken = answer_event(&shared, &id, Answer::Error { error_type: error_type.to_owned(), body: answer });
        return match taken {
            Ok(()) => refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message),
            Err(refusal) => refusal,
        };
    }
    answer_event(&shared, &id, Answer::Response { body, at }).map_or_else(|refusal| refusal, |()| accept())
}

/// `POST /runtime/invocation/{id}/error`.
async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = Answer::Error { error_type: error_type(&headers), body };
    answer_event(&shared, &id, answer).map_or_else(|refusal| refusal, |()| accept())
}

/// `POST /runtime/init/error`.
async fn init_error(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared.end(InvokeError::Init { error_type: error_type(&headers), body: lenient(&body) });
    accept()
}

/// Gives the answer to whoever waits for it.
#[expect(clippy::result_large_err, reason = "a response is built once for each call")]
fn answer_event(shared: &Shared, id: &str, answer: Answer) -> Result<(), Response> {
    let waiting = shared.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    let Some(waiting) = waiting else {
        return Err(refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "no such invocation is in progress"));
    };
    waiting.send(answer).map_err(|_| refuse(StatusCode::GONE, "InvocationTimeout", "the invocation has timed out"))
}

fn error_type(headers: &HeaderMap) -> String {
    let value = headers.get("lambda-runtime-function-error-type");
    value.map_or_else(|| "Unknown".to_owned(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// An error's body is JSON by the protocol, but worth showing if it is not.
fn lenient(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn accept() -> Response {
    json_response(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response {
    json_response(status, &json!({"errorType": error_type, "errorMessage": message}))
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A Lambda binary that runs against a [`RuntimeApi`] of its own.
///
/// The process is killed when this is dropped.
pub struct LambdaProcess {
    api: RuntimeApi,
    pid: u32,
    spawned: Instant,
    log: watch::Sender<Vec<String>>,
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
        Ok(Self { api, pid, spawned, log, kill: Some(kill), watcher })
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
    /// When the function fails to start, goes away, or does not ask within [`INIT_LIMIT`].
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
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// Kills the process, waits for its end, and says how it ended. The log is complete after this.
    ///
    /// The answer is `None` when it was stopped before or could not be waited for.
    pub async fn stop(&mut self) -> Option<ExitStatus> {
        let kill = self.kill.take()?;
        // It may have ended by itself, and then nobody listens.
        let _ = kill.send(());
        (&mut self.watcher).await.ok().flatten()
    }
}

impl Drop for LambdaProcess {
    fn drop(&mut self) {
        // The task owns the child, which is killed when dropped.
        self.watcher.abort();
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    const LIMIT: Duration = Duration::from_secs(5);

    /// A client by hand, so that nothing but the wire is relied on.
    struct Client(TcpStream);

    impl Client {
        async fn connect(api: &RuntimeApi) -> Self {
            Self(TcpStream::connect(api.addr()).await.expect("the API listens"))
        }

        async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
            let request = format!(
                "{method} /2018-06-01/runtime{path} HTTP/1.1\r\nHost: api\r\nContent-Length: {}\r\n{headers}\r\n{body}",
                body.len()
            );
            self.0.write_all(request.as_bytes()).await.expect("the request can be sent");
        }

        /// One read, which holds the whole of a small response only if it left in one write.
        async fn receive(&mut self) -> (u16, HashMap<String, String>, String) {
            let mut buffer = vec![0; 64 * 1024];
            let size = self.0.read(&mut buffer).await.expect("a response can be read");
            let text = String::from_utf8(buffer[..size].to_vec()).expect("the response is text");
            let (head, body) = text.split_once("\r\n\r\n").expect("the head is complete");
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("there is a status");
            let headers = lines.filter_map(|line| line.split_once(": "));
            let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
            (status.parse().expect("the status is a number"), headers, body.to_owned())
        }

        async fn next(&mut self) -> (String, HashMap<String, String>, String) {
            self.send("GET", "/invocation/next", "", "").await;
            let (status, headers, body) = self.receive().await;
            assert_eq!(status, 200);
            (headers["lambda-runtime-aws-request-id"].clone(), headers, body)
        }

        async fn answer(&mut self, id: &str, body: &str) -> u16 {
            self.send("POST", &format!("/invocation/{id}/response"), "", body).await;
            self.receive().await.0
        }
    }

    async fn start() -> RuntimeApi {
        RuntimeApi::start().await.expect("the API starts")
    }

    #[tokio::test]
    async fn hands_out_events_and_takes_answers() {
        let api = start().await;
        let mut client = Client::connect(&api).await;
        let function = async move {
            let (id, headers, body) = client.next().await;
            assert_eq!(body, r#"{"hello":"world"}"#, "head and body come in one write");
            assert_eq!(headers["content-length"], body.len().to_string());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_millis();
            let deadline: u128 = headers["lambda-runtime-deadline-ms"].parse().expect("a number");
            assert!((now..=now + LIMIT.as_millis()).contains(&deadline), "{deadline} against {now}");
            assert_eq!(
                headers["lambda-runtime-invoked-function-arn"],
                "arn:aws:lambda:us-east-1:123456789012:function:local"
            );
            let trace: Vec<_> = headers["lambda-runtime-trace-id"].split([';', '-']).map(str::len).collect();
            assert_eq!(trace, ["Root=1".len(), 8, 24, "Parent=".len() + 16, "Sampled=0".len()]);
            assert_eq!(client.answer(&id, r#"{"statusCode":204}"#).await, 202);
            assert_eq!(client.answer(&id, "{}").await, 400, "one answer is enough");
            client
        };
        let event = json!({"hello": "world"});
        let (invocation, mut client) = tokio::join!(api.invoke(&event, LIMIT), function);
        let invocation = invocation.expect("there is an answer");
        assert_eq!(invocation.body, json!({"statusCode": 204}));
        assert_eq!(invocation.body_bytes, r#"{"statusCode":204}"#.len());
        assert!(invocation.duration() < LIMIT);
        assert!(api.first_poll().await.expect("it has polled") <= invocation.handed_out);

        // The connection stays open for the next event.
        let (second, ()) = tokio::join!(api.invoke(&event, LIMIT), async {
            let (id, ..) = client.next().await;
            client.answer(&id, "null").await;
        });
        assert_ne!(second.expect("there is an answer").request_id, invocation.request_id);
    }

    #[tokio::test]
    async fn tells_errors_apart() {
        let api = start().await;
        let mut client = Client::connect(&api).await;
        let function = async {
            let (id, ..) = client.next().await;
            let kind = "Lambda-Runtime-Function-Error-Type: unhandled\r\n";
            client.send("POST", &format!("/invocation/{id}/error"), kind, r#"{"errorMessage":"no"}"#).await;
            assert_eq!(client.receive().await.0, 202);

            let (id, ..) = client.next().await;
            assert_eq!(client.answer(&id, "not json").await, 202);

            let (id, ..) = client.next().await;
            assert_eq!(client.answer(&id, &"x".repeat(RESPONSE_LIMIT + 1)).await, 413);

            let (id, ..) = client.next().await;
            tokio::time::sleep(Duration::from_millis(60)).await;
            assert_eq!(client.answer(&id, "{}").await, 410, "too late");
            assert_eq!(client.answer("unknown", "{}").await, 400);

            client.send("POST", "/init/error", "", r#"{"errorMessage":"no table"}"#).await;
            assert_eq!(client.receive().await.0, 202);
        };
        let checks = async {
            let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the function fails");
            let InvokeError::Function { error_type, body } = failed else { panic!("{failed}") };
            assert_eq!((error_type.as_str(), body), ("unhandled", json!({"errorMessage": "no"})));

            let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the answer is not JSON");
            assert!(matches!(&failed, InvokeError::NotJson { text, .. } if text == "not json"), "{failed}");

            let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the answer is too large");
            assert!(
                matches!(&failed, InvokeError::Function { error_type, .. } if error_type == "Function.ResponseSizeTooLarge"),
                "{failed}"
            );

            let limit = Duration::from_millis(30);
            let failed = api.invoke(&Value::Null, limit).await.expect_err("the function is slow");
            assert!(matches!(failed, InvokeError::NoAnswer(waited) if waited == limit), "{failed}");

            let failed = api.invoke(&Value::Null, LIMIT).await.expect_err("the function has not started");
            assert!(
                matches!(&failed, InvokeError::Init { body, .. } if body["errorMessage"] == "no table"),
                "{failed}"
            );
        };
        tokio::join!(function, checks);
    }

    #[tokio::test]
    async fn a_poll_that_goes_away_loses_no_event() {
        let api = start().await;
        let mut gone = Client::connect(&api).await;
        gone.send("GET", "/invocation/next", "", "").await;
        api.first_poll().await.expect("it polls");
        drop(gone);
        // The server needs a moment to see that the connection has closed.
        tokio::time::sleep(Duration::from_millis(50)).await;

        let mut client = Client::connect(&api).await;
        let (invocation, ()) = tokio::join!(api.invoke(&Value::Null, LIMIT), async {
            let (id, ..) = client.next().await;
            client.answer(&id, "1").await;
        });
        assert_eq!(invocation.expect("there is an answer").body, 1);
    }

    #[tokio::test]
    async fn an_abandoned_event_is_not_handed_out() {
        let api = start().await;
        let abandoned = json!("abandoned");
        let given_up = tokio::time::timeout(Duration::from_millis(10), api.invoke(&abandoned, LIMIT)).await;
        given_up.expect_err("nobody polls");

        let mut client = Client::connect(&api).await;
        let event = json!("wanted");
        let (invocation, ()) = tokio::join!(api.invoke(&event, LIMIT), async {
            let (id, _, body) = client.next().await;
            assert_eq!(body, r#""wanted""#);
            client.answer(&id, "1").await;
        });
        invocation.expect("there is an answer");
    }

    #[tokio::test]
    async fn a_process_is_watched() {
        let script = "echo \"$NAME of $AWS_LAMBDA_FUNCTION_NAME\"; echo \"cannot open table\" >&2; exit 3";
        let args = ["-c", script];
        let mut process =
            LambdaProcess::spawn_with_args("sh", args, [("NAME", "child")]).await.expect("the shell starts");
        let line = process.wait_for_log(LIMIT, |line| line.starts_with("child")).await;
        assert_eq!(line.as_deref(), Some("child of local"));
        let failed = process.invoke(&Value::Null, LIMIT).await.expect_err("the process is gone");
        let InvokeError::Gone(reason) = failed else { panic!("{failed}") };
        assert!(reason.contains("exit status: 3") && reason.contains("cannot open table"), "{reason}");
        assert_eq!(process.log().len(), 2);
        process.init_duration().await.expect_err("it never polled");
        assert_eq!(process.stop().await.and_then(|status| status.code()), Some(3));
    }

    #[tokio::test]
    async fn a_process_is_killed() {
        let mut process =
            LambdaProcess::spawn_with_args("sleep", ["60"], [] as [(&str, &str); 0]).await.expect("the program starts");
        assert!(process.peak_memory().is_some_and(|bytes| bytes > 0));
        let status = process.stop().await.expect("it has ended");
        assert!(!status.success());

        let process =
            LambdaProcess::spawn_with_args("sleep", ["60"], [] as [(&str, &str); 0]).await.expect("the program starts");
        let pid = process.pid();
        drop(process);
        let gone = async {
            // A killed process that nobody has waited for yet has no memory map any more.
            while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.expect("the drop kills it");
    }

    #[tokio::test]
    async fn a_missing_binary_is_named() {
        let failed = LambdaProcess::spawn("/nonexistent/function", [] as [(&str, &str); 0]).await;
        let failed = failed.err().expect("there is no such program");
        assert!(failed.to_string().contains("/nonexistent/function"), "{failed}");
    }
}
