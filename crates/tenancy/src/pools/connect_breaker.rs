//! When not to connect to a tenant's database: for a while after several failures, and for longer with refused credentials.
//!
//! Must not read a clock: the caller gives the time.

use std::time::{Duration, Instant};

use super::error::Error;
use super::limits::Limits;
use crate::circuit_breaker::{Attempt, CircuitBreaker, Stopped};

/// How long to wait while one connect decides for all.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// One tenant's on one server.
#[derive(Debug, Default)]
pub(super) struct ConnectBreaker {
    unreachable: CircuitBreaker,
    refused: Option<Refused>,
}

/// Credentials that the server refused. Those of a newer epoch are tried at once.
#[derive(Debug)]
struct Refused {
    epoch: i64,
    breaker: CircuitBreaker,
}

/// A connect that was allowed.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectAttempt {
    epoch: i64,
    unreachable: Attempt,
    refused: Option<Attempt>,
}

impl ConnectBreaker {
    /// Whether a connect may be tried.
    pub(super) fn check(&self, epoch: i64, now: Instant) -> Result<(), Error> {
        if let Some(refused) = self.refused.as_ref().filter(|refused| refused.concerns(epoch)) {
            refused.breaker.check(now).map_err(|stopped| open(stopped, true))?;
        }
        self.unreachable.check(now).map_err(|stopped| open(stopped, false))
    }

    /// Allows a connect. One of [`Self::answered`], [`Self::failed`], [`Self::refused`] and [`Self::abandoned`] must follow.
    pub(super) fn admit(&mut self, epoch: i64, now: Instant) -> Result<ConnectAttempt, Error> {
        // Both must allow it before either counts it.
        self.check(epoch, now)?;
        let unreachable = self.unreachable.admit(now).map_err(|stopped| open(stopped, false))?;
        let refused = self.refused.as_mut().filter(|refused| refused.concerns(epoch));
        let refused = refused.map(|refused| refused.breaker.admit(now)).transpose().map_err(|stopped| open(stopped, true))?;
        Ok(ConnectAttempt { epoch, unreachable, refused })
    }

    /// The server accepted the login, or refused it for a reason of its own.
    pub(super) fn answered(&mut self, attempt: ConnectAttempt) {
        self.unreachable = CircuitBreaker::default();
        self.refused.take_if(|refused| refused.concerns(attempt.epoch));
    }

    /// The server could not be reached. That says nothing about refused credentials.
    pub(super) fn failed(&mut self, attempt: ConnectAttempt, limits: &Limits, now: Instant) {
        self.unreachable.failed(attempt.unreachable, &limits.breaker, now);
        self.abandon_refused(attempt);
    }

    /// The server refused the login.
    pub(super) fn refused(&mut self, attempt: ConnectAttempt, limits: &Limits, now: Instant) {
        self.unreachable = CircuitBreaker::default();
        let epoch = self.refused.as_ref().map_or(attempt.epoch, |refused| refused.epoch.max(attempt.epoch));
        self.refused = Some(Refused { epoch, breaker: CircuitBreaker::open_until(now + limits.refusal_pause) });
    }

    /// The connect ended without an outcome.
    pub(super) fn abandoned(&mut self, attempt: ConnectAttempt) {
        self.unreachable.abandoned(attempt.unreachable);
        self.abandon_refused(attempt);
    }

    /// Nothing would be lost if it were forgotten.
    pub(super) fn is_idle(&self, limits: &Limits, now: Instant) -> bool {
        self.refused.is_none() && self.unreachable.is_idle(limits.breaker.window, now)
    }

    fn abandon_refused(&mut self, attempt: ConnectAttempt) {
        if let (Some(refused), Some(attempt)) = (&mut self.refused, attempt.refused) {
            refused.breaker.abandoned(attempt);
        }
    }
}

impl Refused {
    fn concerns(&self, epoch: i64) -> bool {
        epoch <= self.epoch
    }
}

fn open(stopped: Stopped, refused: bool) -> Error {
    let retry_after = match stopped {
        Stopped::For(wait) => wait,
        Stopped::WhileProbing => WHILE_PROBING,
    };
    Error::BreakerOpen { retry_after, refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut ConnectBreaker, times: usize, now: Instant) {
        for _ in 0..times {
            let attempt = breaker.admit(1, now).unwrap();
            breaker.failed(attempt, &Limits::default(), now);
        }
    }

    #[test]
    fn five_failures_in_thirty_seconds_open_it_and_one_probe_decides() {
        let (mut breaker, start) = (ConnectBreaker::default(), Instant::now());
        fail(&mut breaker, 4, start);
        let late = start + Duration::from_secs(30);
        fail(&mut breaker, 4, late);
        assert!(breaker.check(1, late).is_ok(), "the first four are too old");
        fail(&mut breaker, 1, late);
        assert!(
            matches!(breaker.check(1, late), Err(Error::BreakerOpen { retry_after, refused: false }) if retry_after == Duration::from_secs(10))
        );
        let due = late + Duration::from_secs(10);
        let probe = breaker.admit(1, due).unwrap();
        assert!(breaker.admit(1, due).is_err(), "one probe at a time");
        breaker.failed(probe, &Limits::default(), due);
        assert!(breaker.check(1, due + Duration::from_secs(9)).is_err());
        let probe = breaker.admit(1, due + Duration::from_secs(10)).unwrap();
        breaker.answered(probe);
        assert!(breaker.check(1, due).is_ok() && breaker.is_idle(&Limits::default(), due));
    }

    #[test]
    fn a_success_between_failures_ends_the_row() {
        let (mut breaker, now) = (ConnectBreaker::default(), Instant::now());
        fail(&mut breaker, 4, now);
        let attempt = breaker.admit(1, now).unwrap();
        breaker.answered(attempt);
        fail(&mut breaker, 4, now);
        assert!(breaker.check(1, now).is_ok());
    }

    #[test]
    fn a_probe_that_is_dropped_lets_the_next_one_decide() {
        let (mut breaker, now) = (ConnectBreaker::default(), Instant::now());
        fail(&mut breaker, 5, now);
        let due = now + Duration::from_secs(10);
        let probe = breaker.admit(1, due).unwrap();
        breaker.abandoned(probe);
        assert!(breaker.admit(1, due).is_ok());
    }

    #[test]
    fn refused_credentials_are_not_tried_again_for_a_minute_but_newer_ones_are() {
        let (mut breaker, now) = (ConnectBreaker::default(), Instant::now());
        let attempt = breaker.admit(7, now).unwrap();
        breaker.refused(attempt, &Limits::default(), now);
        assert!(matches!(breaker.check(7, now + Duration::from_secs(59)), Err(Error::BreakerOpen { refused: true, .. })));
        let newer = breaker.admit(8, now).unwrap();
        breaker.answered(newer);
        assert!(breaker.check(7, now).is_err(), "what is known of the old ones stays true");
        assert!(breaker.check(7, now + Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn a_probe_of_refused_credentials_that_reaches_no_server_lets_the_next_one_decide() {
        let (mut breaker, now) = (ConnectBreaker::default(), Instant::now());
        let attempt = breaker.admit(7, now).unwrap();
        breaker.refused(attempt, &Limits::default(), now);
        let due = now + Duration::from_mins(1);
        let probe = breaker.admit(7, due).unwrap();
        assert!(breaker.admit(7, due).is_err(), "one probe at a time");
        breaker.failed(probe, &Limits::default(), due);
        let probe = breaker.admit(7, due).unwrap();
        breaker.answered(probe);
        assert!(breaker.is_idle(&Limits::default(), due));
    }
}
