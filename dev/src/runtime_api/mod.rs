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

mod process;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
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
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

pub use process::LambdaProcess;

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
