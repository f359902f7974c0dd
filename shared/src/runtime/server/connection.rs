//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpStream, time::sleep_until};
use tower::Service;

use super::{
    Shared,
    activity::{Activity, Ending, Verdict, Wish},
    answer::{self, Answer},
    body::Upload,
    io::Socket,
};
use crate::http::context::{ClientAddr, Overloaded};

/// The longest head of a request that is read at all, in bytes. The stack refuses shorter ones than that, and says why.
const HEAD_LIMIT: usize = 64 * 1024;
/// Requests at a time on one connection of HTTP/2.
const STREAMS: u32 = 100;
/// What may wait on one stream of it for either side to read, in bytes.
const STREAM_BUFFER: u32 = 64 * 1024;
/// What may wait on the whole connection for a handler to read, in bytes.
const CONNECTION_BUFFER: u32 = 4 * STREAM_BUFFER;

/// How connections are spoken to.
pub(super) fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // A client that has said all still gets its answer. All times are kept by `Activity`.
    builder.http1().half_close(true).header_read_timeout(None).max_buf_size(HEAD_LIMIT);
    let limit = u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX);
    let mut http2 = builder.http2();
    http2.max_concurrent_streams(STREAMS).max_header_list_size(limit).max_send_buf_size(STREAM_BUFFER as usize);
    http2.initial_stream_window_size(STREAM_BUFFER).initial_connection_window_size(CONNECTION_BUFFER);
    builder
}

/// What a connection's future waits for.
enum Event {
    Ended,
    Due,
    Asked,
}

/// Serves a connection until it ends, is idle for too long, or is asked to close. With `crowded`, all that it gets is the
/// advice to come again.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: IpAddr,
    activity: Arc<Activity>,
    crowded: bool,
) {
    let options = &shared.options;
    let (lingering, blocks) = (Arc::clone(&shared.lingering), Arc::clone(&shared.blocks));
    let socket = Socket::new(stream, Arc::clone(&activity), shared.refusals.clone(), lingering, blocks);
    let requests = Requests { shared: Arc::clone(&shared), peer, activity: Arc::clone(&activity), crowded };
    let service = service_fn(move |request| requests.clone().answer(request));
    let mut connection = pin!(shared.protocol.serve_connection(TokioIo::new(socket), service));
    let mut due = pin!(sleep_until(activity.deadline(options)));
    let mut asked = pin!(activity.asked());
    loop {
        let event = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(error, "connection failed");
                }
                return Poll::Ready(Event::Ended);
            }
            if asked.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Asked);
            }
            // Only ever put forward here: when it comes too early, it is put back below.
            let deadline = activity.deadline(options);
            if deadline < due.deadline() {
                due.as_mut().reset(deadline);
            }
            due.as_mut().poll(cx).map(|()| Event::Due)
        });
        match event.await {
            Event::Ended => return,
            Event::Asked => asked.set(activity.asked()),
            Event::Due => {}
        }
        match activity.verdict(options) {
            Verdict::Fine => {}
            Verdict::Close => {
                activity.closing();
                connection.as_mut().graceful_shutdown();
            }
            Verdict::Refuse(status) => return activity.ends(Ending::Refused(status)),
            Verdict::Drop => return activity.ends(Ending::GivenUp),
        }
        due.as_mut().reset(activity.deadline(options));
    }
}

/// The requests of one connection.
#[derive(Clone)]
struct Requests {
    shared: Arc<Shared>,
    peer: IpAddr,
    activity: Arc<Activity>,
    crowded: bool,
}

impl Requests {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let Self { shared, peer, activity, crowded } = self;
        let handling = activity.request(&shared.handling);
        let http1 = request.version() <= Version::HTTP_11;
        // What writes runs to its end, whoever waits for it. With HTTP/2 the client itself takes a request back.
        if http1 && request.method().is_safe() {
            activity.works_for_the_client_alone();
        }
        let (mut head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            let upload = Upload::new(body, shared.options.body_timeout, Arc::clone(&activity));
            head.extensions.insert(upload.awaited());
            Body::new(upload)
        };
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(ClientAddr(peer));
        // Whoever asks how the service is gets an answer, above all when it is not well.
        let asks = matches!(request.uri().path(), "/health" | "/health/ready");
        let hopeless = asks || crowded || activity.is_behind();
        let place = if hopeless { None } else { shared.admission.admit().await };
        let refused = place.is_none() && !asks;
        if refused {
            shared.shed.increment(1);
            request.extensions_mut().insert(Overloaded);
        }
        let mut response = Router::call(&mut shared.service.clone(), request).await?;
        drop(place);
        let room = shared.admission.room(answer::size(response.body()));
        if http1 {
            // What is left of a body would be taken for the next request.
            let draining = shared.draining.load(Ordering::Relaxed);
            if crowded || draining || activity.uploads() || activity.is_asked() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                activity.ends(Ending::Last);
            }
        } else if crowded {
            // HTTP/2 says so by GOAWAY.
            activity.ask(Wish::MakeRoom);
        }
        Ok(response.map(|body| Answer::new(body, handling, room)))
    }
}
