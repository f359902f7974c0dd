//! A circuit breaker: after too many failures a service is left alone, and then tried with one request at a time.
//!
//! Written here, since the crates that there are either let everybody through at once when the time has come to try
//! (`failsafe`), or bring more code than the whole client has (`tower-resilience`). It has no clock of its own: each
//! question comes with the time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many of the last attempts are judged.
const WINDOW: u32 = 20;
/// With fewer failures among them nothing is concluded.
const LEAST_FAILURES: u32 = 5;
/// How long the service is left alone at first; twice as long after each failed trial.
const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The breaker of one service.
#[derive(Debug)]
pub(super) struct Breaker {
    name: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, PartialEq)]
struct State {
    phase: Phase,
    last: Outcomes,
    rest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// All is well.
    Closed,
    /// The service is left alone until then.
    Open(Instant),
    /// One attempt is under way to see whether the service is back.
    Trying,
}

/// The last attempts: a bit for each, 1 for a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Outcomes {
    bits: u32,
    count: u32,
}

impl Outcomes {
    fn add(&mut self, failed: bool) {
        self.bits = (self.bits << 1 | u32::from(failed)) & ((1 << WINDOW) - 1);
        self.count = (self.count + 1).min(WINDOW);
    }

    fn are_too_bad(self) -> bool {
        let failures = self.bits.count_ones();
        failures >= LEAST_FAILURES && failures * 2 >= self.count
    }
}

/// Leave for one attempt. Dropped without a report, as when the request ends early, it says nothing about the service.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    /// Of a trial, since when it has been possible: what becomes of it decides about everything.
    trial: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, state: Mutex::new(State { phase: Phase::Closed, last: Outcomes::default(), rest: FIRST_REST }) }
    }

    /// Leave for an attempt, or how long there will be none.
    pub(super) fn admit(&self, now: Instant) -> Result<Permit<'_>, Duration> {
        let mut state = self.state();
        let trial = match state.phase {
            Phase::Closed => None,
            Phase::Open(until) if now < until => return Err(until - now),
            Phase::Open(until) => {
                state.phase = Phase::Trying;
                Some(until)
            }
            // Whoever tries is done within one attempt.
            Phase::Trying => return Err(FIRST_REST),
        };
        Ok(Permit { breaker: self, trial })
    }

    /// Nobody can leave the state half-written, so a panic elsewhere is no reason not to use it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, now: Instant) {
        self.phase = Phase::Open(now + self.rest);
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}

impl Permit<'_> {
    /// Says what became of the attempt.
    pub(super) fn report(mut self, failed: bool, now: Instant) {
        let backend = self.breaker.name;
        let mut state = self.breaker.state();
        match (self.trial.take().is_some(), state.phase) {
            (true, _) if failed => state.open(now),
            (true, _) => {
                *state = State { phase: Phase::Closed, last: Outcomes::default(), rest: FIRST_REST };
                tracing::info!(backend, "the service is back");
            }
            (false, Phase::Closed) => {
                state.last.add(failed);
                if failed && state.last.are_too_bad() {
                    state.open(now);
                    crate::telemetry::metrics::breaker_opened(backend);
                    tracing::warn!(backend, "the service fails too often and is left alone");
                }
            }
            // An attempt from before the opening says nothing new.
            (false, _) => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Nothing was learned: the next one may try at once.
        if let Some(since) = self.trial {
            self.breaker.state().phase = Phase::Open(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.admit(now).expect("admitted").report(true, now);
    }

    #[test]
    fn it_opens_tries_and_closes() {
        let (breaker, start) = (Breaker::new("test"), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        (0..LEAST_FAILURES).for_each(|_| fail(&breaker, start));
        assert_eq!(breaker.admit(start).expect_err("open"), FIRST_REST);
        assert_eq!(breaker.admit(after(400)).expect_err("open"), Duration::from_millis(600));
        let trial = breaker.admit(after(1000)).expect("a trial");
        assert!(breaker.admit(after(1000)).is_err(), "one at a time");
        trial.report(true, after(1000));
        assert_eq!(breaker.admit(after(1000)).expect_err("open"), FIRST_REST * 2);
        breaker.admit(after(3000)).expect("a trial").report(false, after(3000));
        (0..LEAST_FAILURES - 1).for_each(|_| fail(&breaker, after(3000)));
        breaker.admit(after(3000)).expect("closed, and with nothing remembered").report(false, after(3000));
    }

    #[test]
    fn a_trial_that_is_given_up_makes_room_for_the_next() {
        let (breaker, start) = (Breaker::new("test"), Instant::now());
        (0..LEAST_FAILURES).for_each(|_| fail(&breaker, start));
        drop(breaker.admit(start + FIRST_REST).expect("a trial"));
        assert!(breaker.admit(start + FIRST_REST).expect("another trial").trial.is_some());
    }

    #[test]
    fn a_late_report_changes_nothing() {
        let (breaker, start) = (Breaker::new("test"), Instant::now());
        let late = breaker.admit(start).expect("closed");
        (0..LEAST_FAILURES).for_each(|_| fail(&breaker, start));
        late.report(false, start);
        assert_eq!(breaker.admit(start).expect_err("still open"), FIRST_REST);
    }

    proptest! {
        /// Against the same in plain words: the list of outcomes since it last closed.
        #[test]
        fn it_is_open_exactly_when_it_should_be(steps in prop::collection::vec((0_u64..1500, any::<bool>()), 1..200)) {
            let breaker = Breaker::new("test");
            let mut now = Instant::now();
            let (mut outcomes, mut open_until, mut rest): (Vec<bool>, Option<Instant>, _) = (Vec::new(), None, FIRST_REST);
            for (millis, failed) in steps {
                now += Duration::from_millis(millis);
                match (breaker.admit(now), open_until) {
                    (Err(left), Some(until)) => prop_assert_eq!(left, until - now),
                    (Ok(permit), Some(until)) => {
                        prop_assert!(permit.trial.is_some() && now >= until);
                        permit.report(failed, now);
                        if failed {
                            rest = (rest * 2).min(LONGEST_REST);
                            open_until = Some(now + rest);
                        } else {
                            (outcomes, open_until, rest) = (Vec::new(), None, FIRST_REST);
                        }
                    }
                    (Ok(permit), None) => {
                        prop_assert!(permit.trial.is_none());
                        permit.report(failed, now);
                        outcomes.push(failed);
                        let last = outcomes.iter().rev().take(WINDOW as usize);
                        let (all, bad) = last.fold((0, 0), |(all, bad), failed| (all + 1, bad + u32::from(*failed)));
                        if failed && bad >= LEAST_FAILURES && bad * 2 >= all {
                            open_until = Some(now + rest);
                        }
                    }
                    (Err(_), None) => prop_assert!(false, "closed, and yet refused"),
                }
            }
        }
    }
}
