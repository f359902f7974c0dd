//! The arithmetic of a sliding window that is made of two fixed ones: the part of the previous window that the last 60
//! seconds still cover counts along.

use std::time::{Duration, SystemTime};

/// Length of a window, in seconds.
pub(super) const SECONDS: u32 = 60;
const LENGTH: f64 = SECONDS as f64;

/// A moment in its window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    /// The number of the window since 1970.
    pub(super) window: u64,
    /// Seconds since the start of the window.
    pub(super) elapsed: f64,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self::at(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    fn at(time: Duration) -> Self {
        let length = u64::from(SECONDS);
        let elapsed = Duration::new(time.as_secs() % length, time.subsec_nanos());
        Self { window: time.as_secs() / length, elapsed: elapsed.as_secs_f64() }
    }

    /// Seconds until the window ends.
    pub(super) fn left(self) -> f64 {
        LENGTH - self.elapsed
    }

    /// How many requests this window may have had by now, after `previous` in the one before.
    // A count fits a float, and what is cut off here is not there: the value is between 0 and the limit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn allowed(self, limit: u32, previous: u32) -> u32 {
        let covered = f64::from(previous) * (1.0 - self.elapsed / LENGTH);
        (f64::from(limit) - covered).ceil().max(0.0) as u32
    }

    /// Seconds from a denial on to the moment after which the next request passes, if no other comes first. `count` is
    /// what this window has had.
    pub(super) fn wait(self, limit: u32, previous: u32, count: u32) -> f64 {
        let (limit, previous, count) = (f64::from(limit), f64::from(previous), f64::from(count));
        if count < limit && previous > 0.0 {
            let wait = LENGTH * (1.0 - (limit - count) / previous) - self.elapsed;
            if wait >= 0.0 && self.elapsed + wait < LENGTH {
                return wait;
            }
        }
        // In the next window, this one is the previous. More than the limit is in it after a change of plan.
        let beyond = if count > limit { LENGTH * (1.0 - limit / count) } else { 0.0 };
        self.left() + beyond
    }
}

/// The whole seconds of a wait that are surely enough: the moment itself is still too early.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A wait is less than two windows long.
pub(super) fn retry_after(wait: f64) -> u32 {
    wait.max(0.0).floor() as u32 + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Moment {
        Moment::at(Duration::from_mins(10_000) + Duration::from_secs_f64(seconds))
    }

    #[test]
    fn the_previous_window_fades() {
        assert_eq!(at(0.0), Moment { window: 10_000, elapsed: 0.0 });
        let allowed = |elapsed, previous| at(elapsed).allowed(100, previous);
        assert_eq!(allowed(0.0, 0), 100);
        assert_eq!(allowed(0.0, 100), 0);
        assert_eq!(allowed(30.0, 100), 50);
        assert_eq!(allowed(30.5, 100), 51);
        assert_eq!(allowed(59.9, 100), 100);
        assert_eq!(allowed(10.0, 5000), 0);
    }

    #[test]
    fn a_wait_is_the_rest_of_the_window_or_until_a_place_is_free() {
        assert_eq!(retry_after(at(20.0).wait(100, 0, 100)), 41);
        assert_eq!(retry_after(at(59.9).wait(100, 0, 100)), 1);
        // 50 of the previous 100 still count at second 30; the 51st place is free just after it.
        assert_eq!(retry_after(at(29.0).wait(100, 100, 50)), 2);
        assert_eq!(retry_after(at(30.0).wait(100, 100, 50)), 1);
        // 800 of a higher plan: gone for the most part of the next window too.
        assert_eq!(retry_after(at(50.0).wait(100, 0, 800)), 10 + 52 + 1);
    }

    proptest! {
        /// Whoever is denied and waits exactly as long as told passes.
        #[test]
        fn waiting_as_told_is_enough(
            limit in 1u32..2000, previous in 0u32..4000, more in 0u32..3000, elapsed in 0.0f64..60.0
        ) {
            let denied = at(elapsed);
            let count = denied.allowed(limit, previous) + more;
            let later = at(elapsed + f64::from(retry_after(denied.wait(limit, previous, count))));
            let (previous, count) = match later.window - denied.window {
                0 => (previous, count),
                1 => (count, 0),
                _ => (0, 0),
            };
            prop_assert!(later.allowed(limit, previous) > count, "{denied:?} {later:?}");
        }

        /// A second less is not enough, as long as the window lasts.
        #[test]
        fn and_not_longer_than_needed(limit in 1u32..2000, previous in 1u32..2000, elapsed in 0.0f64..60.0) {
            let denied = at(elapsed);
            let count = denied.allowed(limit, previous);
            let wait = denied.wait(limit, previous, count);
            prop_assume!(count < limit && wait >= 1.0 && elapsed + wait < 60.0);
            let early = at(elapsed + wait.floor() - 1e-3);
            prop_assert!(early.allowed(limit, previous) <= count);
        }
    }
}
