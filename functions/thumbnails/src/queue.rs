//! How much runs at a time, and how much may wait.

use std::sync::Arc;

use shared::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that wait for each one that runs. With a tenth of a second each, the last one waits less than two.
const WAITING: usize = 16;

/// As many thumbnails at a time as there are cores, and a bounded number of requests that wait for their turn. One that
/// waits holds no picture, so memory is bounded by the cores. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Queue {
    pub(crate) fn new(turns: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(turns * (1 + WAITING))), turns: Arc::new(Semaphore::new(turns)) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `RATE_LIMITED` at once when too many wait already.
    pub(crate) async fn turn(&self) -> Result<Turn, ApiError> {
        let full = |_| ApiError::rate_limited(1);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(ApiError::internal)?;
        Ok(Turn { _place: place, _turn: turn })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::Code;

    use super::*;

    #[tokio::test]
    async fn who_comes_too_late_is_told_so_and_a_turn_that_ends_is_passed_on() {
        let queue = Queue::new(1);
        let running = queue.turn().await.expect("the first");
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.turn().await.map(drop) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(queue.turn().await.expect_err("one too many").code(), Code::RateLimited);
        drop(running);
        for turn in waiting {
            turn.await.expect("no panic").expect("a turn");
        }
        queue.turn().await.expect("empty again");
    }
}
