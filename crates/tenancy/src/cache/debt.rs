//! The tenants whose values should have been made worthless while Redis could not be told. Until it has been, this process reads none of theirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;

/// More tenants than one process serves. Past that, what is stored now simply outlives its time unread.
const MOST: usize = 65_536;

#[derive(Debug)]
pub(super) struct Debt {
    /// How long a value can live in Redis.
    longest: Duration,
    owed: Mutex<Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    /// Each with the number of its newest debt, so that paying an older one leaves it owed.
    tenants: HashMap<TenantId, u64>,
    last: u64,
    /// Somebody pays.
    paying: bool,
    /// There were more than could be remembered, so nobody's values are read before this.
    blind_until: Option<Instant>,
}

impl Debt {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, owed: Mutex::default() }
    }

    /// Whether the tenant's values may be out of date.
    pub(super) fn owes(&self, tenant: TenantId, now: Instant) -> bool {
        let owed = self.owed();
        owed.tenants.contains_key(&tenant) || owed.blind_until.is_some_and(|until| now < until)
    }

    /// Remembers the tenant. True when somebody must begin to pay.
    pub(super) fn add(&self, tenant: TenantId, now: Instant) -> bool {
        let mut owed = self.owed();
        owed.last += 1;
        let last = owed.last;
        if owed.tenants.len() < MOST || owed.tenants.contains_key(&tenant) {
            owed.tenants.insert(tenant, last);
        } else {
            owed.blind_until = Some(now + self.longest);
        }
        !std::mem::replace(&mut owed.paying, true)
    }

    /// Everything that is owed.
    pub(super) fn all(&self) -> Vec<(TenantId, u64)> {
        self.owed().tenants.iter().map(|(&tenant, &number)| (tenant, number)).collect()
    }

    /// Redis was told after that debt was made.
    pub(super) fn paid(&self, tenant: TenantId, number: u64) {
        let mut owed = self.owed();
        if owed.tenants.get(&tenant) == Some(&number) {
            owed.tenants.remove(&tenant);
        }
    }

    /// Whether nothing is owed, so that whoever pays may stop.
    pub(super) fn settled(&self) -> bool {
        let mut owed = self.owed();
        owed.paying = !owed.tenants.is_empty();
        !owed.paying
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_debt_that_was_made_while_the_last_one_was_paid_stays_owed() {
        let (debt, now) = (Debt::new(Duration::from_secs(1)), Instant::now());
        assert!(debt.add(tenant(1), now));
        let paying = debt.all();
        assert!(!debt.add(tenant(1), now), "a second payer was called");
        debt.paid(paying[0].0, paying[0].1);
        assert!(debt.owes(tenant(1), now) && !debt.settled());
        let (owed, number) = debt.all()[0];
        debt.paid(owed, number);
        assert!(!debt.owes(tenant(1), now) && debt.settled());
        assert!(debt.add(tenant(1), now), "nobody pays");
    }

    #[test]
    fn more_debts_than_can_be_remembered_stop_all_reading_until_every_value_is_gone() {
        let (debt, now) = (Debt::new(Duration::from_mins(1)), Instant::now());
        for number in 0..=MOST {
            assert!(!debt.owes(tenant(MOST + 1), now));
            debt.add(tenant(number), now);
        }
        assert_eq!(debt.all().len(), MOST);
        assert!(debt.owes(tenant(MOST + 1), now));
        assert!(!debt.owes(tenant(MOST + 1), now + Duration::from_mins(1)));
    }
}
