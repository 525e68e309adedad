//! Which Events were published recently, in bounded memory.
//!
//! Must not read a clock: the caller brings the time.

use std::collections::HashMap;

use tokio::time::Instant;

use super::QUIET;

/// Entries kept; beyond that everything is forgotten, which costs a repeated event and no memory.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Recent(HashMap<u64, Instant>);

impl Recent {
    pub(super) fn is_new(&self, key: u64, now: Instant) -> bool {
        self.0.get(&key).is_none_or(|published| now.duration_since(*published) >= QUIET)
    }

    pub(super) fn published(&mut self, key: u64, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, published| now.duration_since(*published) < QUIET);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_told_is_new_again_after_the_quiet_time() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        recent.published(1, start);
        assert!(!recent.is_new(1, start + QUIET - Duration::from_nanos(1)));
        assert!(recent.is_new(1, start + QUIET));
        assert!(recent.is_new(2, start));
    }

    #[test]
    fn memory_is_bounded_and_old_entries_go_first() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let most = u64::try_from(MOST).unwrap();
        for key in 0..most {
            recent.published(key, start);
        }
        recent.published(most, start + QUIET);
        assert_eq!(recent.0.len(), 1);
        for key in 0..2 * most {
            recent.published(key, start + QUIET);
        }
        assert!(recent.0.len() <= MOST);
    }
}
