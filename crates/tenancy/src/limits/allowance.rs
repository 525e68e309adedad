//! A rate limit by key: one rate for each of a bounded number of keys, and one that all further keys share.
//!
//! Must not grow with the number of callers: an attacker may have any number of addresses.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// The least time between two sweeps for idle keys: a sweep visits every key.
const SWEEP: Duration = Duration::from_secs(1);

/// The leading bits of an IPv6 address that are the least one customer owns.
pub const CUSTOMER: u32 = 64;

/// The network that limits count for an address: an IPv4 address itself, or the IPv6 network of this many leading bits.
#[must_use]
pub fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & u128::MAX.unbounded_shl(128 - bits.min(128)))),
        address @ IpAddr::V4(_) => address,
    }
}

/// A rate limit by key.
pub struct Allowance<K: Hash + Eq + Clone> {
    known: DefaultKeyedRateLimiter<K>,
    others: DefaultDirectRateLimiter,
    most: usize,
    swept: Mutex<Option<Instant>>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Allowance<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Allowance<K> {
    /// `quota` for each of the first `most` keys, and one more that all others share.
    #[must_use]
    pub fn new(quota: Quota, most: usize) -> Self {
        let (known, others) = (RateLimiter::keyed(quota), RateLimiter::direct(quota));
        Self { known, others, most, swept: Mutex::default(), clock: DefaultClock::default() }
    }

    /// Takes one unit of the key's rate.
    ///
    /// # Errors
    /// When none is left: how long until there is one.
    pub fn take(&self, key: &K) -> Result<(), Duration> {
        let taken = if self.has_room() { self.known.check_key(key) } else { self.others.check() };
        taken.map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// As [`Allowance::take`], but a further key shares no rate and is never refused. For keys that a wider one holds too.
    ///
    /// # Errors
    /// As [`Allowance::take`].
    pub fn take_if_known(&self, key: &K) -> Result<(), Duration> {
        if self.has_room() { self.known.check_key(key).map_err(|until| until.wait_time_from(self.clock.now())) } else { Ok(()) }
    }

    /// Forgets keys that have their full rate again.
    pub fn forget(&self) {
        self.known.retain_recent();
        self.known.shrink_to_fit();
    }

    fn has_room(&self) -> bool {
        let room = || self.known.len() < self.most;
        room() || {
            self.make_room();
            room()
        }
    }

    fn make_room(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.known.retain_recent();
            *swept = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn beyond_its_bound_all_new_ones_share_one_allowance() {
        let allowance = Allowance::new(Quota::per_minute(NonZeroU32::MIN), 2);
        assert!((1..=3).all(|n| allowance.take(&n).is_ok()));
        assert!(allowance.take(&4).is_err_and(|wait| wait > Duration::ZERO));
        assert_eq!(allowance.known.len(), 2);
        assert!(allowance.take_if_known(&5).is_ok(), "a wider key holds it");
    }
}
