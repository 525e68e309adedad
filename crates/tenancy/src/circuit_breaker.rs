//! A circuit breaker: after several failures in a short time it stops attempts for a while; then one attempt decides.
//!
//! Pure: it must not read the clock, so that tests need not wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When to stop attempts, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// This many failures…
    pub failures: usize,
    /// …within this time…
    pub window: Duration,
    /// …stop all attempts for this long.
    pub pause: Duration,
}

/// See the module. Whoever shares one puts it under a lock.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    failures: VecDeque<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// One attempt is under way since this moment.
    Probing {
        since: Instant,
    },
}

/// Why no attempt is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// For this long.
    For(Duration),
    /// Until the attempt that is under way has ended.
    WhileProbing,
}

/// An attempt that was allowed. It must be given back to the breaker with its outcome.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    is_probe: bool,
}

impl CircuitBreaker {
    /// One that stops attempts until then, whatever its settings.
    pub(crate) fn open_until(until: Instant) -> Self {
        Self { failures: VecDeque::new(), state: State::Open { until } }
    }

    /// Whether an attempt would be allowed now.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Stopped> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now >= until => Ok(()),
            State::Open { until } => Err(Stopped::For(until - now)),
            State::Probing { .. } => Err(Stopped::WhileProbing),
        }
    }

    /// Allows an attempt. One of [`Self::succeeded`], [`Self::failed`] and [`Self::abandoned`] must follow.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Attempt, Stopped> {
        self.check(now)?;
        let is_probe = matches!(self.state, State::Open { .. });
        if is_probe {
            self.state = State::Probing { since: now };
        }
        Ok(Attempt { is_probe })
    }

    /// The attempt succeeded. True when that ends a pause.
    pub(crate) fn succeeded(&mut self, attempt: Attempt) -> bool {
        if attempt.is_probe {
            *self = Self::default();
        }
        attempt.is_probe
    }

    /// The attempt failed. True when that begins a pause, or prolongs one.
    pub(crate) fn failed(&mut self, attempt: Attempt, settings: &BreakerSettings, now: Instant) -> bool {
        let opens = match self.state {
            State::Closed => {
                self.failures.push_back(now);
                self.failures.retain(|&at| now.saturating_duration_since(at) < settings.window);
                self.failures.len() >= settings.failures
            }
            // An attempt from before the pause does not prolong it.
            State::Open { .. } => false,
            State::Probing { .. } => attempt.is_probe,
        };
        if opens {
            *self = Self::open_until(now + settings.pause);
        }
        opens
    }

    /// The attempt ended without an outcome. After a probe the next one decides.
    pub(crate) fn abandoned(&mut self, attempt: Attempt) {
        if let (true, State::Probing { since }) = (attempt.is_probe, self.state) {
            self.state = State::Open { until: since };
        }
    }

    /// Nothing would be lost if the breaker were forgotten.
    pub(crate) fn is_idle(&self, window: Duration, now: Instant) -> bool {
        matches!(self.state, State::Closed) && self.failures.iter().all(|&at| now.saturating_duration_since(at) >= window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);
    const SETTINGS: BreakerSettings = BreakerSettings { failures: 2, window: Duration::from_secs(10), pause: PAUSE };

    fn fail(breaker: &mut CircuitBreaker, now: Instant) -> bool {
        let attempt = breaker.admit(now).unwrap();
        breaker.failed(attempt, &SETTINGS, now)
    }

    #[test]
    fn failures_that_are_far_apart_stop_nothing() {
        let (mut breaker, start) = (CircuitBreaker::default(), Instant::now());
        for now in (0..5).map(|n| start + n * Duration::from_secs(11)) {
            assert!(!fail(&mut breaker, now));
            assert!(!breaker.is_idle(SETTINGS.window, now) && breaker.is_idle(SETTINGS.window, now + SETTINGS.window));
        }
    }

    #[test]
    fn after_the_pause_one_attempt_decides() {
        let (mut breaker, mut now) = (CircuitBreaker::default(), Instant::now());
        assert!(!fail(&mut breaker, now));
        let late = breaker.admit(now).unwrap();
        assert!(fail(&mut breaker, now));
        assert_eq!(breaker.admit(now).unwrap_err(), Stopped::For(PAUSE));
        assert!(!breaker.failed(late, &SETTINGS, now), "an attempt from before the pause prolonged it");
        now += PAUSE;
        let probe = breaker.admit(now).unwrap();
        assert_eq!(breaker.admit(now).unwrap_err(), Stopped::WhileProbing, "two attempts at once");
        assert!(!breaker.failed(late, &SETTINGS, now), "an attempt from before the pause decided for the probe");
        assert!(breaker.failed(probe, &SETTINGS, now));
        assert!(breaker.check(now).is_err());
        now += PAUSE;
        let probe = breaker.admit(now).unwrap();
        assert!(breaker.succeeded(probe));
        let attempt = breaker.admit(now).unwrap();
        assert!(!breaker.succeeded(attempt));
        assert!(!fail(&mut breaker, now), "old failures still count");
    }

    #[test]
    fn an_attempt_that_is_given_up_lets_the_next_one_decide() {
        let (mut breaker, now) = (CircuitBreaker::default(), Instant::now());
        let _ = (fail(&mut breaker, now), fail(&mut breaker, now));
        let probe = breaker.admit(now + PAUSE).unwrap();
        breaker.abandoned(probe);
        let probe = breaker.admit(now + PAUSE).unwrap();
        assert!(breaker.succeeded(probe));
    }
}
