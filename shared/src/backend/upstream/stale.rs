//! The last good answers of a service, for when it is down.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use lru::LruCache;

/// How many bytes of answers are kept, their addresses included; what was used longest ago makes room.
const CAPACITY: usize = 4 * 1024 * 1024;

/// What is kept of one service.
#[derive(Debug)]
pub(super) struct Kept {
    longest: Duration,
    answers: Mutex<Answers>,
}

#[derive(Debug)]
struct Answers {
    by_address: LruCache<String, (Bytes, Instant)>,
    bytes: usize,
}

impl Kept {
    /// Answers up to an age of `longest`; nothing is kept when that is 0.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, answers: Mutex::new(Answers { by_address: LruCache::unbounded(), bytes: 0 }) }
    }

    /// An answer as of `now`, unless a newer one is kept.
    pub(super) fn put(&self, address: &str, body: Bytes, now: Instant) {
        let size = address.len() + body.len();
        if self.longest.is_zero() || size > CAPACITY {
            return;
        }
        let mut answers = self.answers();
        if answers.by_address.peek(address).is_some_and(|(_, known)| *known > now) {
            return;
        }
        answers.remove(address);
        answers.by_address.put(address.to_owned(), (body, now));
        answers.bytes += size;
        while answers.bytes > CAPACITY {
            let Some((address, (body, _))) = answers.by_address.pop_lru() else { break };
            answers.bytes -= address.len() + body.len();
        }
    }

    /// An answer, and its age.
    pub(super) fn get(&self, address: &str, now: Instant) -> Option<(Bytes, Duration)> {
        let mut answers = self.answers();
        let (body, received) = answers.by_address.get(address)?;
        let age = now.saturating_duration_since(*received);
        (age <= self.longest).then(|| (body.clone(), age))
    }

    /// The service says that there is nothing at this address.
    pub(super) fn remove(&self, address: &str) {
        self.answers().remove(address);
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn remove(&mut self, address: &str) {
        if let Some((body, _)) = self.by_address.pop(address) {
            self.bytes -= address.len() + body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(size: usize) -> Bytes {
        vec![b' '; size].into()
    }

    #[test]
    fn the_last_answer_is_kept_until_it_is_too_old() {
        let (kept, now) = (Kept::new(Duration::from_mins(1)), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        kept.put("/a", body(1), now);
        kept.put("/a", body(2), after(10));
        assert_eq!(kept.get("/a", after(70)), Some((body(2), Duration::from_mins(1))));
        assert_eq!(kept.get("/a", after(71)), None);
        kept.put("/a", body(3), after(5));
        assert_eq!(kept.get("/a", after(20)), Some((body(2), Duration::from_secs(10))), "a slow read undoes no edit");
        assert_eq!(kept.get("/b", now), None);
        kept.remove("/a");
        assert_eq!(kept.get("/a", now), None);
        assert_eq!(kept.answers().bytes, 0);
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let (kept, now) = (Kept::new(Duration::from_mins(1)), Instant::now());
        let third = CAPACITY / 3;
        for address in ["/a", "/b", "/c"] {
            kept.put(address, body(third - 2), now);
        }
        assert!(kept.get("/a", now).is_some());
        kept.put("/d", body(third - 2), now);
        assert_eq!(["/a", "/b", "/c", "/d"].map(|address| kept.get(address, now).is_some()), [true, false, true, true]);
        kept.put("/huge", body(CAPACITY), now);
        assert!(kept.get("/huge", now).is_none() && kept.get("/a", now).is_some(), "what never fits displaces nothing");
    }

    #[test]
    fn without_a_time_nothing_is_kept() {
        let (kept, now) = (Kept::new(Duration::ZERO), Instant::now());
        kept.put("/a", body(1), now);
        assert_eq!(kept.get("/a", now), None);
    }
}
