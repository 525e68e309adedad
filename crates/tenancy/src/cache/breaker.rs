//! Whether it is worth asking Redis now. After several failures in a short time it is not, for a while; then one attempt finds out.
//! It is told the time, so that it can be tested without waiting.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When to stop asking, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Breaking {
    /// This many failures…
    pub failures: usize,
    /// …within this time…
    pub window: Duration,
    /// …stop all attempts for this long.
    pub pause: Duration,
}

impl Default for Breaking {
    /// Five failures in ten seconds stop for five.
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(10), pause: Duration::from_secs(5) }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: Breaking,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: VecDeque<Instant>,
    },
    Open {
        until: Instant,
    },
    /// One attempt is under way.
    Probing,
}

/// Leave to ask once. One that is dropped without a verdict says nothing about Redis.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    probe: bool,
    since: Instant,
}

impl Breaker {
    pub(super) fn new(settings: Breaking) -> Self {
        Self { settings, state: Mutex::new(State::Closed { failures: VecDeque::new() }) }
    }

    /// Leave to ask, if it is worth it.
    pub(super) fn admit(&self, now: Instant) -> Option<Attempt<'_>> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Some(Attempt { breaker: self, probe: false, since: now }),
            State::Open { until } if now >= until => {
                *state = State::Probing;
                Some(Attempt { breaker: self, probe: true, since: now })
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Redis answered. True when that ends a pause.
    pub(super) fn answered(mut self) -> bool {
        let ends = std::mem::take(&mut self.probe);
        if ends {
            *self.breaker.state() = State::Closed { failures: VecDeque::new() };
        }
        ends
    }

    /// Redis did not answer. True when that begins a pause, or goes on with one.
    pub(super) fn failed(mut self, now: Instant) -> bool {
        let Breaking { failures: limit, window, pause } = self.breaker.settings;
        let mut state = self.breaker.state();
        let enough = match &mut *state {
            State::Closed { failures } => {
                failures.push_back(now);
                failures.retain(|&at| now.duration_since(at) <= window);
                failures.len() >= limit
            }
            // An attempt from before the pause, which the pause already answers.
            State::Open { .. } => false,
            State::Probing => self.probe,
        };
        self.probe = false;
        if enough {
            *state = State::Open { until: now + pause };
        }
        enough
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.probe {
            *self.breaker.state() = State::Open { until: self.since };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn breaker() -> Breaker {
        Breaker::new(Breaking { failures: 2, window: Duration::from_secs(10), pause: PAUSE })
    }

    #[test]
    fn failures_that_are_far_apart_stop_nothing() {
        let (breaker, start) = (breaker(), Instant::now());
        for now in (0..5).map(|n| start + n * Duration::from_secs(11)) {
            assert!(!breaker.admit(now).unwrap().failed(now));
        }
    }

    #[test]
    fn after_the_pause_one_attempt_decides() {
        let (breaker, mut now) = (breaker(), Instant::now());
        assert!(!breaker.admit(now).unwrap().failed(now));
        let late = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).unwrap().failed(now));
        assert!(breaker.admit(now).is_none());
        assert!(!late.failed(now), "an attempt from before the pause prolonged it");
        now += PAUSE;
        let probe = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).is_none(), "two attempts at once");
        assert!(probe.failed(now));
        assert!(breaker.admit(now).is_none());
        now += PAUSE;
        assert!(breaker.admit(now).unwrap().answered());
        assert!(!breaker.admit(now).unwrap().answered());
        assert!(!breaker.admit(now).unwrap().failed(now), "old failures still count");
    }

    #[test]
    fn an_attempt_that_is_given_up_lets_the_next_one_decide() {
        let (breaker, now) = (breaker(), Instant::now());
        breaker.admit(now).unwrap().failed(now);
        breaker.admit(now).unwrap().failed(now);
        drop(breaker.admit(now + PAUSE).unwrap());
        assert!(breaker.admit(now + PAUSE).unwrap().answered());
    }
}
