//! TCP connections -> router.

use std::{
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use tokio::{net::TcpListener, sync::oneshot};

use crate::http::context::ClientAddr;

/// How long requests in flight may take to finish after the shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// Serves connections until `shutdown` resolves, then finishes what is in flight, for at most ten seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    service: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    use axum::serve::ListenerExt;
    // Small answers must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let service = service.layer(from_fn(client_addr)).into_make_service_with_connect_info::<SocketAddr>();
    let (stopping, stopped) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        let _ = stopping.send(());
    };
    // A client that never finishes its request must not keep the process alive.
    let out_of_grace = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = axum::serve(listener, service).with_graceful_shutdown(shutdown).into_future() => served,
        () = out_of_grace => Ok(()),
    }
}

/// Puts the peer's address where the middleware looks for it, whatever the front door.
async fn client_addr(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(ClientAddr(peer.ip()));
    next.run(request).await
}

/// Resolves on SIGTERM, which a container gets, or SIGINT, which Ctrl-C sends.
///
/// # Panics
/// When the process may not handle signals at all.
pub async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be handled");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
