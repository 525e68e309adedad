//! Which refusals the audit records: evidence of an attack, but not as many rows as an attacker wants, neither in the master database nor in a school's own.
//!
//! What is beyond a bound is counted; those that still come are recorded again at the bound's rate, as a sample. Must not refuse a record of what was done.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use domain::names::TenantId;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::metrics::Unrecorded;
use super::record::Record;
use crate::limits::{Allowance, CUSTOMER, network};

/// Addresses, and users, with a rate of their own: about 2 MB each.
const MOST: usize = 20_000;

/// How many refusals are recorded in a minute, and as many at once. Of all unauthenticated ones together, ten times as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unauthenticated ones of one address.
    pub address: NonZeroU32,
    /// Unauthenticated ones of all addresses together.
    pub nobody: NonZeroU32,
    /// Of one user, outside any school that is served.
    pub user: NonZeroU32,
    /// Of one user, in a school.
    pub school_user: NonZeroU32,
    /// Of all users of one school together.
    pub school: NonZeroU32,
}

impl Default for Limits {
    /// 10, 60 and 30: at worst 90,000 rows a day, 20 MB, from unauthenticated callers. 60 and 300 in a school: a user leaves no more rows of refusals than
    /// somebody who works there leaves of reads.
    fn default() -> Self {
        let limit = |more| NonZeroU32::MIN.saturating_add(more);
        Self { address: limit(9), nobody: limit(59), user: limit(29), school_user: limit(59), school: limit(299) }
    }
}

pub(super) struct Refusals {
    addresses: Allowance<IpAddr>,
    nobody: DefaultDirectRateLimiter,
    users: Allowance<Uuid>,
    school_users: Allowance<(TenantId, Option<Uuid>)>,
    schools: Allowance<TenantId>,
}

impl Refusals {
    pub(super) fn new(limits: Limits) -> Self {
        let together = Quota::per_minute(limits.nobody).allow_burst(limits.nobody.saturating_mul(NonZeroU32::MIN.saturating_add(9)));
        Self {
            addresses: Allowance::new(Quota::per_minute(limits.address), MOST),
            nobody: RateLimiter::direct(together),
            users: Allowance::new(Quota::per_minute(limits.user), MOST),
            school_users: Allowance::new(Quota::per_minute(limits.school_user), MOST),
            schools: Allowance::new(Quota::per_minute(limits.school), MOST),
        }
    }

    /// Counts a refusal that is to be recorded in the school's own database, or returns why it is not.
    pub(super) fn admit_to_school(&self, school: TenantId, record: &Record) -> Result<(), Unrecorded> {
        self.school_users.take(&(school, record.user)).map_err(|_| Unrecorded::User)?;
        self.schools.take(&school).map_err(|_| Unrecorded::School)
    }

    /// Counts a refusal that is to be recorded in the master database, or returns why it is not.
    pub(super) fn admit(&self, record: &Record) -> Result<(), Unrecorded> {
        if let Some(user) = &record.user {
            return self.users.take(user).map_err(|_| Unrecorded::User);
        }
        let address = record.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.addresses.take(&network(address, CUSTOMER)).map_err(|_| Unrecorded::Address)?;
        self.nobody.check().map_err(|_| Unrecorded::Process)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn limit(most: u32) -> NonZeroU32 {
        NonZeroU32::new(most).unwrap()
    }

    fn limits() -> Limits {
        Limits { address: limit(2), nobody: limit(1), user: limit(3), school_user: limit(3), school: limit(5) }
    }

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
        let refusals = Refusals::new(limits());
        let of = |record: Record| refusals.admit(&record).err();
        let noisy: Vec<_> = (0..5).map(|_| of(refusal(None, [192, 0, 2, 1]))).collect();
        assert_eq!(noisy, [None, None, Some(Unrecorded::Address), Some(Unrecorded::Address), Some(Unrecorded::Address)]);
        let many: Vec<_> = (2..20).map(|n| of(refusal(None, [192, 0, 2, n]))).collect();
        assert_eq!((many[..8].iter().flatten().count(), &many[8..]), (0, &[Some(Unrecorded::Process); 10][..]));
        let user: Vec<_> = (0..4).map(|_| of(refusal(Some(7), [192, 0, 2, 1]))).collect();
        assert_eq!(user, [None, None, None, Some(Unrecorded::User)]);
        assert_eq!(of(refusal(Some(8), [192, 0, 2, 1])), None);
    }

    #[test]
    fn one_user_leaves_a_bounded_number_of_refusals_in_a_school_and_all_of_its_users_together_do_too() {
        let refusals = Refusals::new(limits());
        let (north, south) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let of = |school, user| refusals.admit_to_school(school, &refusal(Some(user), [192, 0, 2, 1])).err();
        assert_eq!([1; 4].map(|user| of(north, user)), [None, None, None, Some(Unrecorded::User)]);
        assert_eq!([2, 3, 4].map(|user| of(north, user)), [None, None, Some(Unrecorded::School)]);
        assert_eq!(of(south, 1), None, "what is refused in one school costs another none of its records");
    }
}
