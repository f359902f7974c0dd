//! What an instance remembers of each subject, so that it need not ask the store again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use super::window::Moment;

/// How many subjects are remembered. Beyond that, those of earlier windows are forgotten, and at last all.
const CAPACITY: usize = 20_000;

/// Subjects by name.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<String, Subject>>);

#[derive(Debug)]
struct Subject {
    window: u64,
    /// What the window before had. Read once, however many requests wait for it.
    previous: Arc<OnceCell<u32>>,
    /// Requests that were let through without the store.
    unchecked: u32,
    /// The limit that was reached, and until when that holds.
    denied: Option<(u32, Instant)>,
}

impl Subject {
    fn new(window: u64) -> Self {
        Self { window, previous: Arc::default(), unchecked: 0, denied: None }
    }
}

impl Memory {
    /// What is known about the window before; or how long the subject is still denied, in seconds.
    pub(super) fn enter(&self, name: &str, now: Moment, limit: u32) -> Result<Arc<OnceCell<u32>>, f64> {
        self.with(name, now, |subject| match subject.denied {
            // A caller that has just changed to a higher plan is not held to the lower one.
            Some((reached, until)) if reached == limit && until > Instant::now() => {
                Err(until.duration_since(Instant::now()).as_secs_f64())
            }
            _ => Ok(Arc::clone(&subject.previous)),
        })
    }

    /// Remembers a denial, so that a flood costs the store nothing.
    pub(super) fn deny(&self, name: &str, now: Moment, limit: u32, wait: f64) {
        let until = Instant::now() + Duration::from_secs_f64(wait.max(0.0));
        self.with(name, now, |subject| subject.denied = Some((limit, until)));
    }

    /// Counts a request that goes through without the store; false when this instance alone has let the limit through.
    pub(super) fn admit_unchecked(&self, name: &str, now: Moment, limit: u32) -> bool {
        self.with(name, now, |subject| {
            subject.unchecked += 1;
            subject.unchecked <= limit
        })
    }

    fn with<T>(&self, name: &str, now: Moment, act: impl FnOnce(&mut Subject) -> T) -> T {
        let mut subjects = self.lock();
        if let Some(subject) = subjects.get_mut(name) {
            if subject.window != now.window {
                let denied = subject.denied;
                *subject = Subject { denied, ..Subject::new(now.window) };
            }
            return act(subject);
        }
        if subjects.len() >= CAPACITY {
            subjects.retain(|_, subject| subject.window == now.window);
            if subjects.len() >= CAPACITY {
                subjects.clear();
            }
        }
        act(subjects.entry(name.to_owned()).or_insert_with(|| Subject::new(now.window)))
    }

    /// Nothing that is done under the lock can leave it half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Subject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(window: u64) -> Moment {
        Moment { window, elapsed: 1.0 }
    }

    #[test]
    fn a_denial_outlives_its_window_but_not_its_limit() {
        let memory = Memory::default();
        memory.deny("u", at(1), 100, 30.0);
        assert!(memory.enter("u", at(2), 100).is_err_and(|wait| wait > 29.0 && wait <= 30.0));
        assert!(memory.enter("u", at(2), 1000).is_ok());
        assert!(memory.enter("v", at(2), 100).is_ok());
        memory.deny("u", at(2), 100, 0.0);
        assert!(memory.enter("u", at(2), 100).is_ok());
    }

    #[test]
    fn without_the_store_an_instance_holds_the_limit_alone() {
        let memory = Memory::default();
        let admitted = |window| (0..5).filter(|_| memory.admit_unchecked("u", at(window), 3)).count();
        assert_eq!((admitted(1), admitted(1), admitted(2)), (3, 0, 3));
    }

    #[test]
    fn memory_is_bounded() {
        let memory = Memory::default();
        for n in 0..3 * CAPACITY {
            let _ = memory.enter(&n.to_string(), at(u64::try_from(n / CAPACITY).expect("small")), 100);
        }
        assert!(memory.lock().len() <= CAPACITY);
    }
}
