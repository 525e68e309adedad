//! How much of this process one school may use, so that a noisy school waits and the others do not notice.
//!
//! Must not grow with every school that ever sent a request: memory follows the schools that send requests now.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use governor::RateLimiter;
use governor::clock::{self, Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use uuid::Uuid;

use super::Allowance;

/// How often idle schools are forgotten.
const SWEEP: Duration = Duration::from_mins(1);

/// Users with a rate of their own: about 2 MB. Further ones share one.
const USERS: usize = 20_000;

/// Shards of the table of running requests, each under its own lock.
const SHARDS: usize = 16;

/// When to try again after too many at a time. One of them ends soon.
const RETRY: Duration = Duration::from_secs(1);

/// One school's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests per second, over time.
    pub rate: NonZeroU32,
    /// Requests at once, after an idle time.
    pub burst: NonZeroU32,
    /// Requests that may run or wait for a connection at the same time.
    pub in_flight: u32,
}

impl Default for Quota {
    /// 200 a second, 400 at once, 32 in flight: four times the connections that a school may have.
    fn default() -> Self {
        Self { rate: NonZeroU32::MIN.saturating_add(199), burst: NonZeroU32::MIN.saturating_add(399), in_flight: 32 }
    }
}

/// The quota of the school, or of the user in it, is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests of this school or user")]
pub struct TooManyRequests {
    /// How long until another request may be admitted.
    pub retry_after: Duration,
}

/// The limits of every school. Clones share them.
#[derive(Clone, Debug)]
pub struct TenantLimits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    quota: Quota,
    rates: RateLimiter<TenantId, DashMapStateStore<TenantId>, DefaultClock>,
    /// One user may use half of its school's rate: the others are never refused because of it.
    users: Allowance<(TenantId, Uuid)>,
    /// How many requests each school has running. A school without one has no entry.
    running: [Mutex<HashMap<TenantId, u32>>; SHARDS],
    start: Instant,
    /// Seconds from `start`.
    swept: AtomicU64,
}

/// A request that counts until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    limits: TenantLimits,
    tenant: TenantId,
}

impl TenantLimits {
    /// The same share for each school.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        let rates = RateLimiter::dashmap(governor::Quota::per_second(quota.rate).allow_burst(quota.burst));
        let half = |all: NonZeroU32| NonZeroU32::new(all.get().div_ceil(2)).unwrap_or(all);
        let users = Allowance::new(governor::Quota::per_second(half(quota.rate)).allow_burst(half(quota.burst)), USERS);
        let shared = Shared { quota, rates, users, running: Default::default(), start: Instant::now(), swept: AtomicU64::new(0) };
        Self(Arc::new(shared))
    }

    /// Admits one more request of `tenant` by this user.
    ///
    /// # Errors
    /// [`TooManyRequests`] when the school's rate or its requests in flight are used up, or the user's half of the rate.
    pub fn admit(&self, tenant: TenantId, user: Uuid) -> Result<InFlight, TooManyRequests> {
        self.sweep_when_due();
        // The slot comes first because it can be given back: a request refused for its slot must not use up the rate.
        let guard = self.enter(tenant)?;
        // The user next: one who is refused must not use up the school's.
        self.0.users.take(&(tenant, user)).map_err(|retry_after| TooManyRequests { retry_after })?;
        self.0.rates.check_key(&tenant).map_err(|refusal| {
            let retry_after = refusal.wait_time_from(clock::DefaultClock::default().now());
            TooManyRequests { retry_after }
        })?;
        Ok(guard)
    }

    /// Forgets schools that have been idle long enough to have their full rate again.
    pub fn sweep(&self) {
        self.0.rates.retain_recent();
        self.0.rates.shrink_to_fit();
        self.0.users.forget();
    }

    /// How many schools are in memory, for their rate or for running requests.
    #[must_use]
    pub fn remembered(&self) -> usize {
        let running: usize = self.0.running.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum();
        running.max(self.0.rates.len())
    }

    fn enter(&self, tenant: TenantId) -> Result<InFlight, TooManyRequests> {
        let mut running = self.shard(tenant);
        let count = running.entry(tenant).or_default();
        if *count >= self.0.quota.in_flight {
            return Err(TooManyRequests { retry_after: RETRY });
        }
        *count += 1;
        Ok(InFlight { limits: self.clone(), tenant })
    }

    fn shard(&self, tenant: TenantId) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        let last = usize::from(tenant.0.as_bytes()[15]);
        self.0.running[last % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One caller a minute does the sweep, which takes microseconds. So no task is needed.
    fn sweep_when_due(&self) {
        let (now, last) = (self.0.start.elapsed().as_secs(), self.0.swept.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= SWEEP.as_secs();
        if due && self.0.swept.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.sweep();
        }
    }
}

impl InFlight {
    /// The school that the request counts for.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut running = self.limits.shard(self.tenant);
        if let Some(count) = running.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: Uuid = Uuid::from_u128(1);

    fn limits(rate: u32, burst: u32, in_flight: u32) -> TenantLimits {
        TenantLimits::new(Quota { rate: rate.try_into().unwrap(), burst: burst.try_into().unwrap(), in_flight })
    }

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn a_noisy_school_gets_a_retry_time_and_its_neighbour_is_not_refused() {
        let limits = limits(1, 3, 9);
        for user in 1..=3 {
            limits.admit(tenant(1), Uuid::from_u128(user)).unwrap();
        }
        let TooManyRequests { retry_after } = limits.admit(tenant(1), ANA).unwrap_err();
        assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(1), "{retry_after:?}");
        limits.admit(tenant(17), ANA).unwrap();
    }

    #[test]
    fn one_user_cannot_use_up_the_rate_of_its_school() {
        let limits = limits(1, 8, 9);
        let noisy = (0..100).filter(|_| limits.admit(tenant(1), ANA).is_ok()).count();
        assert!((4..8).contains(&noisy), "{noisy}");
        assert!(limits.admit(tenant(1), ANA).unwrap_err().retry_after > Duration::ZERO);
        assert!(limits.admit(tenant(1), Uuid::from_u128(2)).is_ok());
    }

    #[test]
    fn requests_at_a_time_are_bounded_and_one_that_ends_makes_room() {
        let limits = limits(1000, 1000, 2);
        let (first, second) = (limits.admit(tenant(1), ANA).unwrap(), limits.admit(tenant(1), ANA).unwrap());
        assert_eq!(limits.admit(tenant(1), ANA).unwrap_err().retry_after, RETRY);
        drop(first);
        let third = limits.admit(tenant(1), ANA).unwrap();
        drop((second, third));
    }

    #[test]
    fn schools_that_fell_silent_are_forgotten() {
        let limits = limits(1_000_000, 1, 1);
        for number in 0..10_000 {
            limits.admit(tenant(number), ANA).unwrap();
        }
        while limits.remembered() > 0 {
            limits.sweep();
        }
    }
}
