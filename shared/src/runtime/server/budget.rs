//! Memory that many clients take together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many bytes there may be, and how many there are. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit }
    }

    /// Counts so many bytes until the share is dropped. More than there are to spend are counted too.
    pub(super) fn take(&self, bytes: usize) -> Share {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Share { budget: self.clone(), bytes }
    }

    /// Whether there is nothing left.
    pub(super) fn is_spent(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limit
    }

    /// How many bytes there are above three quarters of the limit.
    pub(super) fn excess(&self) -> usize {
        self.taken.load(Ordering::Relaxed).saturating_sub(self.limit / 4 * 3)
    }
}

/// A part of a budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Share {
    /// Takes so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) {
        self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(100);
        let mut share = budget.take(70);
        assert_eq!((budget.is_spent(), budget.excess()), (false, 0));
        share.grow(50);
        assert_eq!((budget.is_spent(), budget.excess()), (true, 45), "an answer that is ready is sent in any case");
        let small = budget.take(10);
        drop(share);
        assert!(!budget.is_spent());
        drop(small);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }
}
