//! Tenants by id, read without a lock.
//!
//! Writers take a lock, and nothing goes backwards: a tenant is replaced only by a row that was written later. Must not do I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use tokio::sync::Notify;

use super::tenant::{CachedTenant, Fault, State};

pub(super) struct TenantMap {
    tenants: papaya::HashMap<TenantId, Arc<CachedTenant>>,
    pending: Mutex<Pending>,
    changed: Notify,
}

/// What is still to be done about tenants, at most once of each kind for a tenant. Also the writers' lock.
#[derive(Default)]
struct Pending {
    /// Epochs that have not been announced yet.
    changed_epochs: HashMap<TenantId, i64>,
    /// Tenants whose key is unknown.
    unopened: HashSet<TenantId>,
}

impl TenantMap {
    pub(super) fn new() -> Self {
        Self { tenants: papaya::HashMap::new(), pending: Mutex::default(), changed: Notify::new() }
    }

    pub(super) fn get(&self, tenant: TenantId) -> Option<Arc<CachedTenant>> {
        self.tenants.pin().get(&tenant).cloned()
    }

    /// How many there are, without deleted ones.
    pub(super) fn len(&self) -> usize {
        self.tenants.pin().values().filter(|tenant| tenant.state != State::Deleted).count()
    }

    pub(super) fn all(&self) -> Vec<Arc<CachedTenant>> {
        self.tenants.pin().values().cloned().collect()
    }

    /// Inserts a tenant unless the one that is there is as new. Returns the one that is there then.
    pub(super) fn insert(&self, tenant: CachedTenant) -> Arc<CachedTenant> {
        let mut pending = self.lock();
        let before = self.get(tenant.tenant);
        if let Some(newer) = before.as_ref().filter(|cached| !tenant.supersedes(cached)) {
            return Arc::clone(newer);
        }
        if let Some(fault) = tenant.fault {
            tracing::warn!(tenant_id = %tenant.tenant, code = tenant.code, epoch = tenant.epoch, %fault, "a tenant cannot be served");
        }
        let tenant = Arc::new(tenant);
        self.tenants.pin().insert(tenant.tenant, Arc::clone(&tenant));
        pending.add(&tenant, before.map(|before| before.epoch));
        drop(pending);
        self.changed.notify_one();
        tenant
    }

    /// Removes a tenant whose row was deleted, unless it was replaced since.
    pub(super) fn remove(&self, removed: &Arc<CachedTenant>) {
        let mut pending = self.lock();
        let tenants = self.tenants.pin();
        if tenants.get(&removed.tenant).is_some_and(|cached| Arc::ptr_eq(cached, removed)) {
            tenants.remove(&removed.tenant);
            pending.unopened.remove(&removed.tenant);
            // All of its connections are stale.
            pending.changed_epochs.insert(removed.tenant, i64::MAX);
            self.changed.notify_one();
        }
    }

    /// Epochs that grew since the last call, by tenant. Returns at once.
    pub(super) fn take_changed_epochs(&self) -> HashMap<TenantId, i64> {
        std::mem::take(&mut self.lock().changed_epochs)
    }

    /// Waits until there may be something to take.
    pub(super) async fn epochs_changed(&self) {
        self.changed.notified().await;
    }

    /// Tenants whose credentials were sealed with a key that is unknown.
    pub(super) fn unopened(&self) -> Vec<TenantId> {
        self.lock().unopened.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn add(&mut self, tenant: &CachedTenant, before: Option<i64>) {
        if before.is_none_or(|before| before < tenant.epoch) {
            self.changed_epochs.insert(tenant.tenant, tenant.epoch);
        }
        if tenant.fault == Some(Fault::UnknownKey) {
            self.unopened.insert(tenant.tenant);
        } else {
            self.unopened.remove(&tenant.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(id: u128, code: &str, state: State, at: i64) -> CachedTenant {
        let (schema_version, server, database, pool, target, fault) = (None, None, None, None, None, None);
        let (tenant, name) = (TenantId(Uuid::from_u128(id)), String::new());
        CachedTenant {
            tenant,
            code: code.into(),
            name,
            state,
            epoch: at,
            schema_version,
            server,
            database,
            pool,
            target,
            fault,
            change_seq: at,
        }
    }

    #[test]
    fn a_row_that_comes_late_changes_nothing() {
        let map = TenantMap::new();
        map.insert(tenant(1, "norte", State::Active, 5));
        map.take_changed_epochs();
        let cached = map.insert(tenant(1, "velho", State::Suspended, 4));
        assert_eq!((cached.state, cached.change_seq), (State::Active, 5));
        assert_eq!(map.get(cached.tenant).map(|tenant| tenant.code.clone()).as_deref(), Some("norte"));
        assert!(map.take_changed_epochs().is_empty());
    }

    #[test]
    fn a_deleted_tenant_is_remembered_and_not_counted() {
        let map = TenantMap::new();
        for (n, state) in [(1, State::Active), (2, State::Retained), (3, State::Deleted)] {
            map.insert(tenant(n, "norte", state, 1));
        }
        assert_eq!((map.all().len(), map.len()), (3, 2));
    }

    #[test]
    fn an_epoch_that_grew_is_announced_once_and_one_that_stayed_is_not() {
        let map = TenantMap::new();
        map.insert(tenant(1, "norte", State::Active, 1));
        map.insert(tenant(1, "norte", State::Active, 2));
        assert_eq!(map.take_changed_epochs().into_values().collect::<Vec<_>>(), [2]);
        map.insert(CachedTenant { epoch: 2, ..tenant(1, "norte", State::Active, 3) });
        assert!(map.take_changed_epochs().is_empty());
    }

    #[test]
    fn a_deleted_row_removes_its_tenant_but_never_a_newer_one() {
        let map = TenantMap::new();
        let old = map.insert(tenant(1, "norte", State::Active, 1));
        let new = map.insert(tenant(1, "norte", State::Active, 2));
        map.remove(&old);
        assert!(map.get(new.tenant).is_some());
        map.remove(&new);
        assert!(map.all().is_empty());
        assert_eq!(map.take_changed_epochs().into_values().collect::<Vec<_>>(), [i64::MAX]);
    }
}
