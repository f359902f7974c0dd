//! Which requests are taken, and which are told to come again.
//!
//! Requests that wait for the store cost little, however many they are. Those that wait for a processor make each other
//! late, so a request that does not get its turn in time is refused before any work is done for it.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{Duration, Instant, timeout},
};

use super::{
    budget::{Budget, Share},
    options::Options,
};

/// Requests that each worker takes at a time without a look at the clock: so few are soon done.
const FEW_PER_WORKER: usize = 16;

/// Memory of answers that may wait for their clients, in bytes.
const UNSENT: usize = 64 * 1024 * 1024;

/// The room that a server has.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    /// Room for answers that are ready, and that clients have not taken. A client that is slow must not keep the place of
    /// a request.
    unsent: Budget,
    /// Free places when there are only few requests.
    plenty: usize,
    patience: Duration,
}

impl Admission {
    pub(super) fn new(options: &Options) -> Self {
        let places = options.max_in_flight.min(Semaphore::MAX_PERMITS);
        let few = options.workers.saturating_mul(FEW_PER_WORKER);
        Self {
            places: Arc::new(Semaphore::new(places)),
            unsent: Budget::new(UNSENT),
            plenty: places.saturating_sub(few),
            patience: options.max_wait,
        }
    }

    /// A place, unless none gets free in time, or it is already too late for one.
    pub(super) async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        if self.unsent.is_spent() {
            return None;
        }
        let start = Instant::now();
        let place = timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()?;
        if self.places.available_permits() >= self.plenty {
            return Some(place);
        }
        // Behind all that is ready to run: how long that takes is how long each step of the request will have to wait.
        yield_now().await;
        (start.elapsed() <= self.patience).then_some(place)
    }

    /// Room for an answer of so many bytes: one whose request was taken is sent in any case.
    pub(super) fn room(&self, bytes: usize) -> Share {
        self.unsent.take(bytes)
    }

    /// How many bytes clients have to take before there is plenty of room for answers again.
    pub(super) fn excess(&self) -> usize {
        self.unsent.excess()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn admission() -> Admission {
        let options =
            Options { workers: 1, max_in_flight: 100, max_wait: Duration::from_millis(50), ..Options::default() };
        Admission::new(&options)
    }

    /// Keeps the only worker busy for longer than a request may wait, once it gets its turn.
    fn hog() -> tokio::task::JoinHandle<()> {
        tokio::spawn(async { thread::sleep(Duration::from_millis(200)) })
    }

    #[tokio::test]
    async fn all_that_only_wait_for_the_store_are_taken() {
        let admission = admission();
        let mut places = Vec::new();
        for _ in 0..100 {
            places.extend(admission.admit().await);
        }
        assert_eq!(places.len(), 100);
        assert!(admission.admit().await.is_none(), "there is no place");
        places.pop();
        assert!(admission.admit().await.is_some(), "there is one again");
    }

    #[tokio::test]
    async fn answers_that_nobody_takes_leave_no_room_at_last() {
        let admission = admission();
        let _many: Vec<_> = (0..1000).map(|_| admission.room(1024)).collect();
        let large = admission.room(UNSENT - 1024 * 1001);
        assert!(admission.admit().await.is_some(), "they take no places");
        assert!(admission.excess() > 0, "but there will soon be no room");
        let last = admission.room(1024);
        assert!(admission.admit().await.is_none());
        drop(last);
        assert!(admission.admit().await.is_some());
        drop(large);
        assert_eq!(admission.excess(), 0, "small answers are no trouble");
    }

    #[tokio::test]
    async fn a_request_that_is_late_is_refused_unless_they_are_few() {
        let admission = admission();
        let mut places = Vec::new();
        for _ in 0..FEW_PER_WORKER {
            let busy = hog();
            places.push(admission.admit().await.expect("few"));
            busy.abort();
        }
        let busy = hog();
        assert!(admission.admit().await.is_none(), "one more is late");
        busy.await.expect("it ends");
        assert!(admission.admit().await.is_some(), "the processor is free again, and so is the place");
    }
}
