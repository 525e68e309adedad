//! Whether the process is alive and ready, as the code that does the work says.
//!
//! Must not check anything itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Without a sign of life for this long, the process is better restarted.
pub const SILENCE: Duration = Duration::from_mins(5);

/// The last time that something succeeded which must keep succeeding: a list, a watch event, a reconcile. Clones share it.
///
/// A process whose watches died silently looks healthy from outside in every other way.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    start: Instant,
    /// Milliseconds from `start`.
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { start: Instant::now(), last: Arc::default() }
    }
}

impl Heartbeat {
    /// Says that something succeeded just now.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// How long nothing has succeeded.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.silence_at(Instant::now())
    }

    /// Something succeeded within [`SILENCE`].
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.silence() < SILENCE
    }

    fn beat_at(&self, now: Instant) {
        let elapsed = now.duration_since(self.start).as_millis();
        self.last.fetch_max(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn silence_at(&self, now: Instant) -> Duration {
        now.duration_since(self.start).saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Connecting, or leading with caches that are not filled yet.
    #[default]
    Starting,
    /// Waiting for the lease, ready to take over.
    Standby,
    /// Leading, with caches filled.
    Leading,
    /// On its way out.
    Stopping,
}

/// The phase, shared with the probes. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Enters `phase`. [`Phase::Stopping`] is not left again.
    pub fn enter(&self, phase: Phase) {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now != Phase::Stopping as u8).then_some(phase as u8)).ok();
    }

    /// The phase that the process is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        [Phase::Starting, Phase::Standby, Phase::Leading]
            .into_iter()
            .find(|phase| *phase as u8 == self.0.load(Ordering::Relaxed))
            .unwrap_or(Phase::Stopping)
    }

    /// The process does what it is there for, as leader or as standby.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase(), Phase::Standby | Phase::Leading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_ends_the_silence_and_an_older_one_does_not_bring_it_back() {
        let heartbeat = Heartbeat::default();
        let at = |seconds| heartbeat.start + Duration::from_secs(seconds);
        assert_eq!(heartbeat.silence_at(at(270)), Duration::from_secs(270));
        heartbeat.clone().beat_at(at(270));
        heartbeat.beat_at(at(20));
        assert_eq!(heartbeat.silence_at(at(540)), Duration::from_secs(270));
    }

    #[test]
    fn a_process_in_which_nothing_succeeds_for_minutes_is_not_alive_until_something_does() {
        let heartbeat = Heartbeat { start: Instant::now().checked_sub(SILENCE).unwrap(), ..Heartbeat::default() };
        assert!(!heartbeat.is_alive());
        heartbeat.beat();
        assert!(heartbeat.is_alive());
    }

    #[test]
    fn leader_and_standby_are_ready_and_stopping_is_for_good() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready());
        for (phase, ready) in [(Phase::Standby, true), (Phase::Starting, false), (Phase::Leading, true), (Phase::Stopping, false)] {
            readiness.enter(phase);
            assert_eq!((readiness.phase(), readiness.is_ready()), (phase, ready));
        }
        readiness.enter(Phase::Leading);
        assert_eq!(readiness.phase(), Phase::Stopping);
    }
}
