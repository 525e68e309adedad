//! Who may lead, decided from what a lease says and how long it has not changed. Pure: the caller brings the clock.
//!
//! Times written in the lease are never compared with our clock: another machine's clock may be wrong. A lease has run out when *we* have seen it
//! unchanged for as long as it promises to be renewed. Must not read a clock or speak to the API server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// What to do after reading the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// There is no lease: create it.
    Create,
    /// It is ours, free, or has run out: write ourselves into it.
    Write,
    /// Another holds it.
    Wait,
}

/// One contender's memory: the lease as last seen, and when it was first seen so.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    duration: Duration,
    last: Option<(LeaseSpec, Instant)>,
}

impl Election {
    /// A contender named `identity`, which no other process may share.
    pub(super) fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, last: None }
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do about a lease that says `spec` at `now`; none for no lease.
    pub(super) fn observe(&mut self, spec: Option<&LeaseSpec>, now: Instant) -> Decision {
        let Some(spec) = spec else { return Decision::Create };
        let since = match &self.last {
            Some((last, since)) if last == spec => *since,
            _ => {
                self.last = Some((spec.clone(), now));
                now
            }
        };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let promised = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        if holder.is_empty() || holder == self.identity || now.duration_since(since) >= promised.unwrap_or(self.duration) {
            Decision::Write
        } else {
            Decision::Wait
        }
    }

    /// The lease with us as its holder. Its times are for people to read.
    pub(super) fn claim(&self, current: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let transitions = current.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let ours = current.filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let acquired = ours.and_then(|spec| spec.acquire_time.clone()).unwrap_or(MicroTime(now));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if ours.is_some() || current.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    /// The lease given back: the next to read it may take it at once.
    pub(super) fn release(current: &LeaseSpec, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: current.lease_transitions,
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(15);

    fn held_by(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec { renew_time: Some(MicroTime(time(renewed))), ..Election::new(holder.to_owned(), TERM).claim(None, time(0)) }
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn contender() -> (Election, Instant) {
        (Election::new("b".to_owned(), TERM), Instant::now())
    }

    #[test]
    fn a_lease_that_is_absent_free_or_ours_is_taken_at_the_first_look() {
        let (mut election, now) = contender();
        assert_eq!(election.observe(None, now), Decision::Create);
        assert_eq!(election.observe(Some(&LeaseSpec::default()), now), Decision::Write);
        assert_eq!(election.observe(Some(&Election::release(&held_by("a", 0), time(1))), now), Decision::Write);
        assert_eq!(election.observe(Some(&held_by("b", 0)), now), Decision::Write);
    }

    #[test]
    fn another_holders_lease_is_taken_only_after_it_was_seen_unchanged_for_its_whole_term() {
        let (mut election, start) = contender();
        let lease = held_by("a", 0);
        assert_eq!(election.observe(Some(&lease), start), Decision::Wait);
        assert_eq!(election.observe(Some(&lease), start + TERM - Duration::from_nanos(1)), Decision::Wait);
        assert_eq!(election.observe(Some(&lease), start + TERM), Decision::Write);
    }

    #[test]
    fn every_renewal_starts_the_term_anew() {
        let (mut election, start) = contender();
        for round in 0..10 {
            let now = start + TERM * u32::try_from(round).unwrap();
            assert_eq!(election.observe(Some(&held_by("a", round)), now), Decision::Wait);
        }
    }

    #[test]
    fn the_holders_clock_does_not_matter() {
        for wrong in [-1_000_000, 10_000_000_000] {
            let (mut election, start) = contender();
            assert_eq!(election.observe(Some(&held_by("a", wrong)), start), Decision::Wait);
            assert_eq!(election.observe(Some(&held_by("a", wrong)), start + TERM), Decision::Write);
        }
    }

    #[test]
    fn the_term_is_the_one_that_the_holder_promised() {
        let (mut election, start) = contender();
        let lease = LeaseSpec { lease_duration_seconds: Some(60), ..held_by("a", 0) };
        assert_eq!(election.observe(Some(&lease), start), Decision::Wait);
        assert_eq!(election.observe(Some(&lease), start + TERM), Decision::Wait);
        assert_eq!(election.observe(Some(&lease), start + Duration::from_mins(1)), Decision::Write);
    }

    #[test]
    fn a_renewal_keeps_the_time_of_acquiring_and_a_takeover_counts_a_transition() {
        let (election, _) = contender();
        let taken = election.claim(Some(&held_by("a", 0)), time(100));
        assert_eq!((taken.lease_transitions, taken.acquire_time.clone()), (Some(1), Some(MicroTime(time(100)))));
        let renewed = election.claim(Some(&taken), time(102));
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(1), Some(MicroTime(time(100)))));
        assert_eq!(renewed.renew_time, Some(MicroTime(time(102))));
    }
}
