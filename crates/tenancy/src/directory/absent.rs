//! Tenants that the registry said do not exist, remembered for a while so that asking for them again costs nothing. Bounded, whatever is asked for.

use std::time::{Duration, Instant};

use domain::names::TenantId;
use quick_cache::sync::Cache;

/// A few hundred kilobytes.
const MOST: usize = 10_000;

pub(super) struct Absent {
    since: Cache<TenantId, Instant>,
    lifetime: Duration,
}

impl Absent {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { since: Cache::new(MOST), lifetime }
    }

    pub(super) fn note(&self, tenant: TenantId) {
        self.since.insert(tenant, Instant::now());
    }

    /// Was said not to exist, lately. Ask memory first: a tenant that was made since is there.
    pub(super) fn holds(&self, tenant: TenantId) -> bool {
        self.since.get(&tenant).is_some_and(|since| since.elapsed() < self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn however_many_unknown_tenants_are_asked_for_no_more_than_the_bound_are_remembered() {
        let absent = Absent::new(Duration::from_secs(30));
        for n in 0..100_000 {
            absent.note(TenantId(Uuid::from_u128(n)));
        }
        assert!(absent.since.len() <= MOST, "{}", absent.since.len());
        let last = TenantId(Uuid::from_u128(100_000));
        absent.note(last);
        assert!(absent.holds(last));
    }

    #[test]
    fn an_absence_expires() {
        let absent = Absent::new(Duration::ZERO);
        let tenant = TenantId(Uuid::from_u128(1));
        absent.note(tenant);
        assert!(!absent.holds(tenant));
    }
}
