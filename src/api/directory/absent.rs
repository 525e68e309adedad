//! Tenants that the registry said do not exist, remembered for a while so that asking for them again costs nothing. Bounded, whatever is asked for.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::registry::listing::Key;

/// A few hundred kilobytes.
const MOST: usize = 10_000;

pub(super) struct Absent {
    since: Cache<Key, Instant>,
    lifetime: Duration,
}

impl Absent {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { since: Cache::new(MOST), lifetime }
    }

    pub(super) fn note(&self, key: Key) {
        self.since.insert(key, Instant::now());
    }

    /// Was said not to exist, lately. Ask memory first: a tenant that was made since is there.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.since.get(key).is_some_and(|since| since.elapsed() < self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::names::TenantId;

    #[test]
    fn however_many_unknown_tenants_are_asked_for_no_more_than_the_bound_are_remembered() {
        let absent = Absent::new(Duration::from_secs(30));
        for n in 0..100_000 {
            absent.note(Key::Id(TenantId(Uuid::from_u128(n))));
        }
        assert!(absent.since.len() <= MOST, "{}", absent.since.len());
        let last = Key::Id(TenantId(Uuid::from_u128(100_000)));
        absent.note(last.clone());
        assert!(absent.holds(&last));
    }

    #[test]
    fn an_absence_expires() {
        let absent = Absent::new(Duration::ZERO);
        let key = Key::Id(TenantId(Uuid::from_u128(1)));
        absent.note(key.clone());
        assert!(!absent.holds(&key));
    }
}
