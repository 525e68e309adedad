//! Invalidations that Redis has not confirmed. Until it has, this process reads none of the tenant's values.
//!
//! Must not grow without a bound while Redis is away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;

/// More tenants than one process serves. Beyond it nothing is read until every value stored by then has expired.
const MAX_TENANTS: usize = 65_536;

#[derive(Debug)]
pub(super) struct PendingInvalidations {
    /// How long a value can live in Redis.
    longest_life: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each tenant with the number of its newest invalidation, so that confirming an older one leaves it pending.
    tenants: HashMap<TenantId, u64>,
    last_number: u64,
    is_repeated: bool,
    /// There were more than [`MAX_TENANTS`], so no value is read before this.
    unreadable_until: Option<Instant>,
}

impl PendingInvalidations {
    pub(super) fn new(longest_life: Duration) -> Self {
        Self { longest_life, state: Mutex::default() }
    }

    /// Whether the tenant's values in Redis may be out of date.
    pub(super) fn contains(&self, tenant: TenantId, now: Instant) -> bool {
        let state = self.state();
        state.tenants.contains_key(&tenant) || state.unreadable_until.is_some_and(|until| now < until)
    }

    /// Adds the tenant. True when a task must begin to repeat what is pending.
    pub(super) fn add(&self, tenant: TenantId, now: Instant) -> bool {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        if state.tenants.len() < MAX_TENANTS || state.tenants.contains_key(&tenant) {
            state.tenants.insert(tenant, number);
        } else {
            state.unreadable_until = Some(now + self.longest_life);
        }
        !std::mem::replace(&mut state.is_repeated, true)
    }

    /// All that are pending, each with its number.
    pub(super) fn all(&self) -> Vec<(TenantId, u64)> {
        self.state().tenants.iter().map(|(&tenant, &number)| (tenant, number)).collect()
    }

    /// Redis confirmed an invalidation that began after this number was given.
    pub(super) fn confirm(&self, tenant: TenantId, number: u64) {
        let mut state = self.state();
        if state.tenants.get(&tenant) == Some(&number) {
            state.tenants.remove(&tenant);
        }
    }

    /// Whether nothing is pending, so that the task that repeats may end.
    pub(super) fn is_done(&self) -> bool {
        let mut state = self.state();
        state.is_repeated = !state.tenants.is_empty();
        !state.is_repeated
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId(Uuid::from_u128(number as u128))
    }

    #[test]
    fn an_invalidation_that_comes_while_the_last_one_is_confirmed_stays_pending() {
        let (pending, now) = (PendingInvalidations::new(Duration::from_secs(1)), Instant::now());
        assert!(pending.add(tenant(1), now));
        let first = pending.all();
        assert!(!pending.add(tenant(1), now), "a second task was asked for");
        pending.confirm(first[0].0, first[0].1);
        assert!(pending.contains(tenant(1), now) && !pending.is_done());
        let (newest, number) = pending.all()[0];
        pending.confirm(newest, number);
        assert!(!pending.contains(tenant(1), now) && pending.is_done());
        assert!(pending.add(tenant(1), now), "no task repeats it");
    }

    #[test]
    fn more_than_can_be_remembered_stop_all_reading_until_every_value_has_expired() {
        let (pending, now) = (PendingInvalidations::new(Duration::from_mins(1)), Instant::now());
        for number in 0..=MAX_TENANTS {
            assert!(!pending.contains(tenant(MAX_TENANTS + 1), now));
            pending.add(tenant(number), now);
        }
        assert_eq!(pending.all().len(), MAX_TENANTS);
        assert!(pending.contains(tenant(MAX_TENANTS + 1), now));
        assert!(!pending.contains(tenant(MAX_TENANTS + 1), now + Duration::from_mins(1)));
    }
}
