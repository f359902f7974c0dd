//! An address that nobody may fetch, to be put into tokens and requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use tokio::net::TcpListener;

pub(crate) struct Lure {
    pub(crate) url: String,
    bites: Arc<AtomicUsize>,
}

impl Lure {
    pub(crate) async fn lay() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/lure", listener.local_addr().unwrap());
        let bites = Arc::<AtomicUsize>::default();
        let counter = bites.clone();
        let count = async move || counter.fetch_add(1, Ordering::Relaxed).to_string();
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(count)).await });
        Self { url, bites }
    }

    /// How often something was asked of it, at whatever path.
    pub(crate) async fn bites(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.bites.load(Ordering::Relaxed)
    }
}
