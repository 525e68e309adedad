//! The newest known epoch of each tenant's route.
//!
//! Must not forget one: a stale route could be used again. So it keeps one number, for the life of the process, for every tenant that was ever requested or closed.

use domain::names::TenantId;
use papaya::HashMap;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Epochs(HashMap<TenantId, i64>);

/// An epoch compared with the newest known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpochOrder {
    Older,
    Current,
    /// Newer than one that was known.
    Newer,
}

impl Epochs {
    /// Raises a tenant's epoch to this one unless a newer one is known.
    pub(super) fn raise(&self, tenant: TenantId, epoch: i64) -> EpochOrder {
        let known = self.0.pin();
        match known.get(&tenant) {
            Some(&newest) if newest == epoch => return EpochOrder::Current,
            Some(&newest) if newest > epoch => return EpochOrder::Older,
            _ => {}
        }
        let newest = *known.update_or_insert(tenant, |&newest| newest.max(epoch), epoch);
        if newest > epoch { EpochOrder::Older } else { EpochOrder::Newer }
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
        assert_eq!(epochs.raise(tenant, 3), EpochOrder::Newer);
        assert_eq!(epochs.raise(tenant, 3), EpochOrder::Current);
        assert_eq!(epochs.raise(tenant, 2), EpochOrder::Older);
        assert!(epochs.is_stale(tenant, 2) && !epochs.is_stale(tenant, 3));
    }
}
