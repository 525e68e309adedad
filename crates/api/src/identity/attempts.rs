//! How often one address may try a password, or renew and end sessions. What one account allows stands in its row; this is for those who try many accounts, or
//! make up tokens: each of them costs a connection to the registry.
//!
//! Must not count by account: whoever wants to could lock an account from here.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use tenancy::limits::Allowance;

use crate::client::ClientAddress;
use crate::error::{Code, Error, Result};

/// Addresses that are known at once: about 2 MB.
const MOST: usize = 20_000;

pub(super) struct Attempts(Allowance<IpAddr>);

impl Attempts {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        Self(Allowance::new(Quota::per_minute(per_minute), MOST))
    }

    /// Counts one attempt. No address, no limit: only a caller without a socket has none.
    pub(super) fn allow(&self, client: Option<ClientAddress>) -> Result<()> {
        let Some(client) = client else { return Ok(()) };
        self.0.take(&client.network()).map_err(|wait| Error::new(Code::TooManyRequests).after(wait.max(Duration::from_secs(1))))
    }

    /// Forgets addresses without recent attempts.
    pub(super) fn forget(&self) {
        self.0.forget();
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
}
