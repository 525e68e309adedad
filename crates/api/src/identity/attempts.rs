//! How often one address may try a password, or renew and end sessions. What one account allows stands in its row; this is for those who try many accounts, or
//! make up tokens: each of them costs a connection to the registry.
//!
//! Must not count by account: whoever wants to could lock an account from here.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use governor::Quota;
use tenancy::limits::{Allowance, network};

use super::Identity;
use crate::client::ClientAddress;
use crate::edge::RequestContext;
use crate::error::{Code, Error, Result};

/// Addresses that are known at once: about 2 MB.
const MOST: usize = 20_000;

/// IPv6 networks by their leading bits, and how many times as much as one address they may: one customer may own a /64, a /56 or a /48, and each password costs
/// a hash.
const PREFIXES: [(u32, NonZeroU32); 3] = [(64, NonZeroU32::MIN), (56, NonZeroU32::new(4).unwrap()), (48, NonZeroU32::new(16).unwrap())];

pub(super) struct Attempts {
    ipv4: Allowance<IpAddr>,
    ipv6: [(u32, Allowance<IpAddr>); 3],
}

impl Attempts {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let of = |times| Allowance::new(Quota::per_minute(per_minute.saturating_mul(times)), MOST);
        Self { ipv4: of(NonZeroU32::MIN), ipv6: PREFIXES.map(|(bits, times)| (bits, of(times))) }
    }

    /// Counts one attempt. No address, no limit: only a caller without a socket has none.
    pub(super) fn allow(&self, client: Option<ClientAddress>) -> Result<()> {
        let Some(client) = client else { return Ok(()) };
        let refused = |wait: Duration| Error::new(Code::TooManyRequests).after(wait.max(Duration::from_secs(1)));
        let address = client.0.to_canonical();
        if address.is_ipv4() {
            return self.ipv4.take(&address).map_err(refused);
        }
        let [narrow @ .., (widest, most)] = &self.ipv6;
        // Of more networks than can be known, the widest holds the rest: whoever owns many keeps nobody else out.
        for (bits, allowance) in narrow {
            allowance.take_if_known(&network(address, *bits)).map_err(refused)?;
        }
        most.take(&network(address, *widest)).map_err(refused)
    }

    /// Forgets addresses without recent attempts.
    pub(super) fn forget(&self) {
        self.ipv4.forget();
        self.ipv6.iter().for_each(|(_, allowance)| allowance.forget());
    }
}

/// An attempt at a password, counted before anything of the request's body is read.
pub(super) struct PasswordAttempt;

/// A request for an open session, counted before anything of the request's body is read.
pub(super) struct SessionRequest;

impl FromRequestParts<Arc<Identity>> for PasswordAttempt {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, identity: &Arc<Identity>) -> Result<Self> {
        identity.attempts.allow(client(parts)).map(|()| Self)
    }
}

impl FromRequestParts<Arc<Identity>> for SessionRequest {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, identity: &Arc<Identity>) -> Result<Self> {
        identity.renewals.allow(client(parts)).map(|()| Self)
    }
}

fn client(parts: &Parts) -> Option<ClientAddress> {
    parts.extensions.get::<RequestContext>().map(RequestContext::client)
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
    fn whoever_owns_many_ipv6_networks_gets_a_few_times_the_attempts_of_one_and_keeps_nobody_else_out() {
        let attempts = Attempts::new(NonZeroU32::new(1).unwrap());
        let tried = |address: &dyn Fn(u32) -> String, most| (0..most).filter(|n| attempts.allow(Some(from(&address(*n)))).is_ok()).count();
        assert_eq!(tried(&|n| format!("2001:db8:1:{n:x}::1"), 256), 4, "a /56");
        assert_eq!(tried(&|n| format!("2001:db8:2:{n:x}::1"), 65536), 16, "a /48");
        assert!(attempts.allow(Some(from("2001:db8:3::1"))).is_ok());
        assert!(attempts.allow(Some(from("2001:db8:3:1::1"))).is_ok());
        assert!((0..40).all(|n| attempts.allow(Some(from(&format!("192.0.2.{n}")))).is_ok()), "IPv4 addresses are not summed up");
    }
}
