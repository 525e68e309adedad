//! The newest epoch known of each tenant's route. Never goes back.
//!
//! One number for every tenant that was ever asked for or closed, kept for the life of the process: forgetting one would let an old route in again.

use domain::names::TenantId;
use papaya::HashMap;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Epochs(HashMap<TenantId, i64>);

/// An epoch beside the newest known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Older,
    Current,
    /// Newer than one that was known.
    Newer,
}

impl Epochs {
    /// Raises a tenant's epoch to this one unless it is there already.
    pub(super) fn raise(&self, tenant: TenantId, epoch: i64) -> Seen {
        let known = self.0.pin();
        match known.get(&tenant) {
            Some(&newest) if newest == epoch => return Seen::Current,
            Some(&newest) if newest > epoch => return Seen::Older,
            _ => {}
        }
        let newest = *known.update_or_insert(tenant, |&newest| newest.max(epoch), epoch);
        if newest > epoch { Seen::Older } else { Seen::Newer }
    }

    /// A newer epoch is known.
    pub(super) fn is_stale(&self, tenant: TenantId, epoch: i64) -> bool {
        self.0.pin().get(&tenant).is_some_and(|&newest| newest > epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_never_goes_back() {
        let (epochs, tenant) = (Epochs::default(), TenantId(uuid::Uuid::from_u128(1)));
        assert!(!epochs.is_stale(tenant, 0));
        assert_eq!(epochs.raise(tenant, 3), Seen::Newer);
        assert_eq!(epochs.raise(tenant, 3), Seen::Current);
        assert_eq!(epochs.raise(tenant, 2), Seen::Older);
        assert!(epochs.is_stale(tenant, 2) && !epochs.is_stale(tenant, 3));
    }
}
