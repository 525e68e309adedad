//! How often one address may try a password, or renew and end sessions. What one account allows stands in its row; this is for those who try many accounts, or
//! make up tokens: each of them costs a connection to the registry.
//!
//! Must not grow with the number of addresses: beyond its bound all new ones share one allowance.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::api::client::ClientAddress;
use crate::api::error::{Code, Error, Result};

/// Addresses that are known at once: about 2 MB.
const MOST: usize = 20_000;

pub(super) struct Attempts {
    known: DefaultKeyedRateLimiter<IpAddr>,
    others: DefaultDirectRateLimiter,
    most: usize,
    clock: DefaultClock,
}

impl Attempts {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        Self::bounded(per_minute, MOST)
    }

    fn bounded(per_minute: NonZeroU32, most: usize) -> Self {
        let quota = Quota::per_minute(per_minute);
        Self { known: RateLimiter::keyed(quota), others: RateLimiter::direct(quota), most, clock: DefaultClock::default() }
    }

    /// Counts one attempt. No address, no limit: only a caller without a socket has none.
    pub(super) fn allow(&self, client: Option<ClientAddress>) -> Result<()> {
        let Some(ClientAddress(address)) = client else { return Ok(()) };
        if self.known.len() >= self.most {
            self.known.retain_recent();
        }
        let allowed = if self.known.len() < self.most { self.known.check_key(&network(address)) } else { self.others.check() };
        allowed.map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Error::new(Code::TooManyRequests).after(wait.max(Duration::from_secs(1)))
        })
    }

    /// Forgets who has been quiet.
    pub(super) fn forget(&self) {
        self.known.retain_recent();
        self.known.shrink_to_fit();
    }
}

/// An IPv4 address, or the /64 that one IPv6 customer has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> ClientAddress {
        ClientAddress(address.parse().unwrap())
    }

    #[test]
    fn one_network_is_one_address_and_says_when_to_come_back() {
        let attempts = Attempts::new(NonZeroU32::new(1).unwrap());
        for (first, second) in [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::ffff")] {
            assert!(attempts.allow(Some(from(first))).is_ok());
            let error = attempts.allow(Some(from(second))).unwrap_err();
            assert_eq!(error.code, Code::TooManyRequests);
            assert!(error.retry_after.is_some());
        }
        assert!(attempts.allow(Some(from("2001:db8:0:1::1"))).is_ok());
        assert!(attempts.allow(None).is_ok() && attempts.allow(None).is_ok());
    }

    #[test]
    fn beyond_its_bound_all_new_addresses_share_one_allowance() {
        let attempts = Attempts::bounded(NonZeroU32::new(1).unwrap(), 2);
        assert!(["192.0.2.1", "192.0.2.2", "192.0.2.3"].iter().all(|address| attempts.allow(Some(from(address))).is_ok()));
        assert!(attempts.allow(Some(from("192.0.2.4"))).is_err());
        assert_eq!(attempts.known.len(), 2);
    }
}
