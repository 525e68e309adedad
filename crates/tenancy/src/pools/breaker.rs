//! When not to connect: after failures in a row for a while, and with refused credentials for longer.
//!
//! Pure: the time is given to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Error, Limits};

/// One tenant's on one server.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: VecDeque<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// The epoch whose credentials were refused; none when the server could not be reached.
    refused: Option<i64>,
    probing: bool,
}

/// Time to wait while one connect finds out for all.
const PROBING: Duration = Duration::from_secs(1);

impl Breaker {
    /// Whether a connect may be tried. After the time is up, one is; it decides for the others.
    pub(super) fn check(&self, epoch: i64, now: Instant) -> Result<(), Error> {
        match &self.open {
            Some(open) if open.concerns(epoch) && (open.probing || now < open.until) => {
                let retry_after = if open.probing { PROBING } else { open.until - now };
                Err(Error::Open { retry_after, refused: open.refused.is_some() })
            }
            _ => Ok(()),
        }
    }

    /// Begins a connect. One of [`Breaker::answered`], [`Breaker::failed`], [`Breaker::refused`] or [`Breaker::abandoned`] must follow.
    pub(super) fn admit(&mut self, epoch: i64, now: Instant) -> Result<(), Error> {
        self.check(epoch, now)?;
        if let Some(open) = self.open.as_mut().filter(|open| open.concerns(epoch)) {
            open.probing = true;
        }
        Ok(())
    }

    /// The server took the login, or had a reason of its own not to.
    pub(super) fn answered(&mut self, epoch: i64) {
        self.failures.clear();
        self.open.take_if(|open| open.concerns(epoch));
    }

    /// The server could not be reached.
    pub(super) fn failed(&mut self, limits: &Limits, now: Instant) {
        self.failures.retain(|&at| now.saturating_duration_since(at) < limits.failures_within);
        self.failures.push_back(now);
        let unreachable = self.open.as_ref().is_some_and(|open| open.refused.is_none());
        if unreachable || self.failures.len() >= limits.failures as usize {
            self.failures.clear();
            self.open = Some(Open { until: now + limits.open_after_failures, refused: None, probing: false });
        }
    }

    /// The server refused the login.
    pub(super) fn refused(&mut self, epoch: i64, limits: &Limits, now: Instant) {
        self.open = Some(Open { until: now + limits.open_after_refusal, refused: Some(epoch), probing: false });
    }

    /// The connect ended without a finding.
    pub(super) fn abandoned(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    /// Nothing would be lost if it were forgotten.
    pub(super) fn is_quiet(&self, limits: &Limits, now: Instant) -> bool {
        self.open.is_none() && self.failures.iter().all(|&at| now.saturating_duration_since(at) >= limits.failures_within)
    }
}

impl Open {
    fn concerns(&self, epoch: i64) -> bool {
        self.refused.is_none_or(|refused| epoch <= refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, times: usize, now: Instant) {
        for _ in 0..times {
            breaker.admit(1, now).unwrap();
            breaker.failed(&Limits::default(), now);
        }
    }

    #[test]
    fn five_failures_in_thirty_seconds_open_it_and_one_probe_decides() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        fail(&mut breaker, 4, start);
        let late = start + Duration::from_secs(30);
        fail(&mut breaker, 4, late);
        assert!(breaker.check(1, late).is_ok(), "the first four are too old");
        fail(&mut breaker, 1, late);
        assert!(
            matches!(breaker.check(1, late), Err(Error::Open { retry_after, refused: false }) if retry_after == Duration::from_secs(10))
        );
        let due = late + Duration::from_secs(10);
        breaker.admit(1, due).unwrap();
        assert!(breaker.admit(1, due).is_err(), "one probe at a time");
        breaker.failed(&Limits::default(), due);
        assert!(breaker.check(1, due + Duration::from_secs(9)).is_err());
        breaker.admit(1, due + Duration::from_secs(10)).unwrap();
        breaker.answered(1);
        assert!(breaker.check(1, due).is_ok() && breaker.is_quiet(&Limits::default(), due));
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_the_next_one_to_find_out() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        fail(&mut breaker, 5, now);
        let due = now + Duration::from_secs(10);
        breaker.admit(1, due).unwrap();
        breaker.abandoned();
        assert!(breaker.admit(1, due).is_ok());
    }

    #[test]
    fn refused_credentials_are_not_tried_again_for_a_minute_but_newer_ones_are() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        breaker.refused(7, &Limits::default(), now);
        assert!(matches!(breaker.check(7, now + Duration::from_secs(59)), Err(Error::Open { refused: true, .. })));
        assert!(breaker.check(8, now).is_ok());
        breaker.answered(8);
        assert!(breaker.check(7, now).is_err(), "what is known of the old ones stays true");
        assert!(breaker.check(7, now + Duration::from_mins(1)).is_ok());
    }
}
