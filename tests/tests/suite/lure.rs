//! An address that nobody may fetch, to be put into tokens and requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use tests::server::serve;

pub(crate) struct Lure {
    pub(crate) url: String,
    bites: Arc<AtomicUsize>,
}

impl Lure {
    pub(crate) async fn lay() -> Self {
        let bites = Arc::<AtomicUsize>::default();
        let counter = bites.clone();
        let count = async move || counter.fetch_add(1, Ordering::Relaxed).to_string();
        let endpoint = serve(Router::new().fallback(count)).await;
        Self { url: format!("{endpoint}/lure"), bites }
    }

    /// How often something was asked of it, at whatever path.
    pub(crate) async fn bites(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.bites.load(Ordering::Relaxed)
    }
}
