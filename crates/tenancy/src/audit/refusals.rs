//! Which refusals the platform's audit is to hold: evidence of an attack, not as many rows as somebody cares to ask for.
//!
//! For what belongs to no school that serves; a school's own refusals are held to its rate. Must not refuse a record of what was done.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::Record;
use super::metrics::Unrecorded;
use crate::limits::{Allowance, network};

/// Addresses, and users, that are known at once: about 2 MB each.
const MOST: usize = 20_000;

/// What is recorded; as much at once as in a minute, except for all of nobody's together, of which ten times as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of an address whose token nobody accepts, in a minute.
    pub address: NonZeroU32,
    /// Of all such addresses together, in a minute.
    pub nobody: NonZeroU32,
    /// Of one user, in a minute.
    pub user: NonZeroU32,
}

impl Default for Limits {
    /// 10, 60 and 30: at worst 90,000 rows a day from those who are nobody, 20 MB.
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

    /// Counts a refusal that is to be recorded; or says why it is not to be.
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
