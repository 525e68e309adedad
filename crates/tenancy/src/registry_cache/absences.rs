//! Tenants that the registry said do not exist, remembered for a while so that repeated requests for them cost no query.
//!
//! Must not grow with the number of ids that callers invent.

use std::time::{Duration, Instant};

use domain::names::TenantId;
use quick_cache::sync::Cache;

/// A few hundred kilobytes.
const MAX_TENANTS: usize = 10_000;

pub(super) struct Absences {
    since: Cache<TenantId, Instant>,
    ttl: Duration,
}

impl Absences {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { since: Cache::new(MAX_TENANTS), ttl }
    }

    pub(super) fn insert(&self, tenant: TenantId) {
        self.since.insert(tenant, Instant::now());
    }

    /// Whether the registry said so lately. Check memory first: a tenant that was created since is there.
    pub(super) fn contains(&self, tenant: TenantId) -> bool {
        self.since.get(&tenant).is_some_and(|since| since.elapsed() < self.ttl)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn however_many_unknown_tenants_are_requested_no_more_than_the_bound_are_remembered() {
        let absences = Absences::new(Duration::from_secs(30));
        for n in 0..100_000 {
            absences.insert(TenantId(Uuid::from_u128(n)));
        }
        assert!(absences.since.len() <= MAX_TENANTS, "{}", absences.since.len());
        let last = TenantId(Uuid::from_u128(100_000));
        absences.insert(last);
        assert!(absences.contains(last));
    }

    #[test]
    fn an_absence_expires() {
        let absences = Absences::new(Duration::ZERO);
        let tenant = TenantId(Uuid::from_u128(1));
        absences.insert(tenant);
        assert!(!absences.contains(tenant));
    }
}
