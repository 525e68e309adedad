//! What it costs to open a connection to one server, and so how long waiting for one makes sense.
//!
//! A request that waits for a slot often waits for others to open or close a connection. Where that takes half a second, as on a busy machine, a fixed wait of
//! a quarter would refuse requests that are next. Must not read a clock or wait.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::limits::Limits;

/// How many openings a wait lasts: one closes, one opens in its place and is used, and so on for those that came first.
const OPENINGS: u32 = 4;

/// How long what an opening took says something about the next.
const REMEMBERED: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// When those began that are not over, by their numbers: the first is the oldest.
    running: BTreeMap<u64, Instant>,
    begun: u64,
    /// What one took lately.
    usual: Duration,
    /// When the last one succeeded.
    ended: Option<Instant>,
}

impl Openings {
    /// One begins; its number is for [`Openings::end`].
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        self.begun += 1;
        self.running.insert(self.begun, now);
        self.begun
    }

    /// It is over. One that failed says nothing about what the next takes.
    pub(super) fn end(&mut self, number: u64, opened: bool, now: Instant) {
        let Some(began) = self.running.remove(&number) else { return };
        if opened {
            let took = now.saturating_duration_since(began);
            self.ended = Some(now);
            self.usual = if self.usual.is_zero() { took } else { (self.usual * 3 + took) / 4 };
        }
    }

    /// How long to wait for a slot in all. Never longer than an opening may take.
    pub(super) fn patience(&self, limits: &Limits, now: Instant) -> Duration {
        let oldest = self.running.first_key_value().map(|(_, began)| now.saturating_duration_since(*began)).unwrap_or_default();
        let lately = self.ended.is_some_and(|ended| now.saturating_duration_since(ended) < REMEMBERED);
        let usual = if lately { self.usual } else { Duration::ZERO };
        let needed = usual.max(oldest).saturating_mul(OPENINGS).min(limits.connect_timeout);
        limits.wait.max(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Duration = Duration::from_millis(250);

    fn limits() -> Limits {
        Limits { wait: QUARTER, connect_timeout: Duration::from_secs(3), ..Limits::default() }
    }

    #[test]
    fn the_wait_is_the_usual_one_while_openings_are_quick() {
        let (mut openings, now) = (Openings::default(), Instant::now());
        assert_eq!(openings.patience(&limits(), now), QUARTER);
        for n in 0..100 {
            let began = now + Duration::from_secs(n);
            let number = openings.begin(began);
            openings.end(number, true, began + Duration::from_millis(5));
        }
        assert_eq!(openings.patience(&limits(), now + Duration::from_secs(100)), QUARTER);
    }

    #[test]
    fn it_grows_with_what_an_opening_takes_and_with_one_that_is_not_over_and_ends_at_the_time_to_connect() {
        let (mut openings, now) = (Openings::default(), Instant::now());
        let number = openings.begin(now);
        assert_eq!(openings.patience(&limits(), now + Duration::from_millis(300)), Duration::from_millis(1200));
        assert_eq!(openings.patience(&limits(), now + Duration::from_secs(2)), Duration::from_secs(3));
        openings.end(number, true, now + Duration::from_millis(400));
        assert_eq!(openings.patience(&limits(), now + Duration::from_secs(9)), Duration::from_millis(1600));
        // One that failed is forgotten, and quick ones make the wait short again.
        let failed = openings.begin(now);
        openings.end(failed, false, now + Duration::from_secs(3));
        assert_eq!(openings.patience(&limits(), now + Duration::from_secs(9)), Duration::from_millis(1600));
        for _ in 0..30 {
            let number = openings.begin(now);
            openings.end(number, true, now + Duration::from_millis(1));
        }
        assert_eq!(openings.patience(&limits(), now), QUARTER);
    }

    #[test]
    fn a_slow_opening_is_forgotten_after_a_minute_without_another() {
        let (mut openings, now) = (Openings::default(), Instant::now());
        let number = openings.begin(now);
        openings.end(number, true, now + Duration::from_secs(1));
        assert_eq!(openings.patience(&limits(), now + Duration::from_mins(1)), Duration::from_secs(3));
        assert_eq!(openings.patience(&limits(), now + Duration::from_secs(61)), QUARTER);
    }

    #[test]
    fn a_longer_wait_that_was_set_stays() {
        let long = Limits { wait: Duration::from_secs(30), ..limits() };
        let mut openings = Openings::default();
        let now = Instant::now();
        openings.begin(now);
        assert_eq!(openings.patience(&long, now + Duration::from_secs(5)), Duration::from_secs(30));
    }
}
