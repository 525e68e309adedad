//! Which refusals the platform's audit records: evidence of an attack, but not as many rows as an attacker wants.
//!
//! Only for refusals without a school that is served. A school's own refusals are limited by its request rate. Must not refuse a record of what was done.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::metrics::Unrecorded;
use super::record::Record;
use crate::limits::{Allowance, network};

/// Addresses, and users, with a rate of their own: about 2 MB each.
const MOST: usize = 20_000;

/// How many refusals are recorded in a minute, and as many at once. Of all unauthenticated ones together, ten times as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unauthenticated ones of one address.
    pub address: NonZeroU32,
    /// Unauthenticated ones of all addresses together.
    pub nobody: NonZeroU32,
    /// Of one user.
    pub user: NonZeroU32,
}

impl Default for Limits {
    /// 10, 60 and 30: at worst 90,000 rows a day, 20 MB, from unauthenticated callers.
    fn default() -> Self {
        let limit = |more| NonZeroU32::MIN.saturating_add(more);
        Self { address: limit(9), nobody: limit(59), user: limit(29) }
    }
}

pub(super) struct Refusals {
    addresses: Allowance<IpAddr>,
    nobody: DefaultDirectRateLimiter,
    users: Allowance<Uuid>,
}

impl Refusals {
    pub(super) fn new(limits: Limits) -> Self {
        let together = Quota::per_minute(limits.nobody).allow_burst(limits.nobody.saturating_mul(NonZeroU32::MIN.saturating_add(9)));
        Self {
            addresses: Allowance::new(Quota::per_minute(limits.address), MOST),
            nobody: RateLimiter::direct(together),
            users: Allowance::new(Quota::per_minute(limits.user), MOST),
        }
    }

    /// Counts a refusal that is to be recorded, or returns why it is not.
    pub(super) fn admit(&self, record: &Record) -> Result<(), Unrecorded> {
        if let Some(user) = &record.user {
            return self.users.take(user).map_err(|_| Unrecorded::User);
        }
        let address = record.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.addresses.take(&network(address)).map_err(|_| Unrecorded::Address)?;
        self.nobody.check().map_err(|_| Unrecorded::Process)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn refusal(user: Option<u128>, address: [u8; 4]) -> Record {
        Record {
            id: Uuid::now_v7(),
            tenant: None,
            user: user.map(Uuid::from_u128),
            action: "auth:verify".into(),
            resource: "/".into(),
            address: Some(IpAddr::from(address)),
            at: Utc::now(),
            success: false,
            reason: None,
            request_id: None,
        }
    }

    #[test]
    fn one_address_takes_no_others_share_nor_all_of_them_a_users() {
        let limit = |n| NonZeroU32::new(n).unwrap();
        let refusals = Refusals::new(Limits { address: limit(2), nobody: limit(1), user: limit(3) });
        let of = |record: Record| refusals.admit(&record).err();
        let noisy: Vec<_> = (0..5).map(|_| of(refusal(None, [192, 0, 2, 1]))).collect();
        assert_eq!(noisy, [None, None, Some(Unrecorded::Address), Some(Unrecorded::Address), Some(Unrecorded::Address)]);
        let many: Vec<_> = (2..20).map(|n| of(refusal(None, [192, 0, 2, n]))).collect();
        assert_eq!((many[..8].iter().flatten().count(), &many[8..]), (0, &[Some(Unrecorded::Process); 10][..]));
        let user: Vec<_> = (0..4).map(|_| of(refusal(Some(7), [192, 0, 2, 1]))).collect();
        assert_eq!(user, [None, None, None, Some(Unrecorded::User)]);
        assert_eq!(of(refusal(Some(8), [192, 0, 2, 1])), None);
    }
}
