//! Tenants by id, read without a lock.
//!
//! Writers take a lock, and nothing goes backwards: a tenant is replaced only by a row that was written later, or by one of a later era. An era begins when the
//! registry itself went back, as by a restore: its numbers then say nothing about those before. Must not do I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use registry::tenants::History;
use tokio::sync::Notify;

use super::tenant::{CachedTenant, Fault, State};

pub(super) struct TenantMap {
    tenants: papaya::HashMap<TenantId, Arc<CachedTenant>>,
    pending: Mutex<Pending>,
    changed: Notify,
    suspected: Notify,
}

/// A history of the registry, as this process counts them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Era {
    pub(super) number: u64,
    /// None before the first load.
    pub(super) history: Option<History>,
}

/// What is still to be done about tenants, at most once of each kind for a tenant. Also the writers' lock.
#[derive(Default)]
struct Pending {
    /// Epochs that have not been announced yet.
    changed_epochs: HashMap<TenantId, i64>,
    /// Tenants whose key is unknown.
    unopened: HashSet<TenantId>,
    era: Era,
    /// Another history that somebody read a row of.
    suspected: Option<History>,
    /// The last number given to a route.
    route_epoch: i64,
}

impl TenantMap {
    pub(super) fn new() -> Self {
        Self { tenants: papaya::HashMap::new(), pending: Mutex::default(), changed: Notify::new(), suspected: Notify::new() }
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

    /// The era whose rows are loaded now. Take it before reading a row.
    pub(super) fn era(&self) -> Era {
        self.lock().era
    }

    /// From now on only rows of this history are loaded, and each replaces what is there.
    pub(super) fn begin_era(&self, history: History) -> Era {
        let mut pending = self.lock();
        pending.era = Era { number: pending.era.number + 1, history: Some(history) };
        pending.era
    }

    /// Somebody read a row of this other history.
    pub(super) fn suspect(&self, history: History) {
        self.lock().suspected = Some(history);
        self.suspected.notify_one();
    }

    /// Waits until somebody has, of a history that was not loaded meanwhile.
    pub(super) async fn suspected(&self) {
        while !self.take_suspicion() {
            self.suspected.notified().await;
        }
    }

    fn take_suspicion(&self) -> bool {
        let mut pending = self.lock();
        let suspected = pending.suspected.take();
        suspected.is_some() && suspected != pending.era.history
    }

    /// Inserts a tenant unless the one that is there is as new. Returns the one that is there then; none when the tenant's era is over.
    pub(super) fn insert(&self, tenant: CachedTenant) -> Option<Arc<CachedTenant>> {
        let mut pending = self.lock();
        if tenant.era < pending.era.number {
            return None;
        }
        let before = self.get(tenant.tenant);
        if let Some(newer) = before.as_ref().filter(|cached| !tenant.supersedes(cached)) {
            return Some(Arc::clone(newer));
        }
        if let Some(fault) = tenant.fault {
            tracing::warn!(tenant_id = %tenant.tenant, code = tenant.code, epoch = tenant.epoch, %fault, "a tenant cannot be served");
        }
        let kept = before.filter(|before| tenant.keeps_route_of(before)).map(|before| before.route_epoch);
        let tenant = Arc::new(tenant.numbered(kept.unwrap_or(pending.route_epoch + 1)));
        self.tenants.pin().insert(tenant.tenant, Arc::clone(&tenant));
        pending.add(&tenant);
        drop(pending);
        self.changed.notify_one();
        Some(tenant)
    }

    /// Removes a tenant whose row was deleted, unless it was replaced since.
    pub(super) fn remove(&self, removed: &Arc<CachedTenant>) {
        let mut pending = self.lock();
        let tenants = self.tenants.pin();
        if tenants.get(&removed.tenant).is_some_and(|cached| Arc::ptr_eq(cached, removed)) {
            tenants.remove(&removed.tenant);
            pending.unopened.remove(&removed.tenant);
            // All of its connections are stale. Should the row come back, its route has a later number.
            pending.route_epoch += 1;
            let epoch = pending.route_epoch;
            pending.changed_epochs.insert(removed.tenant, epoch);
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
    fn add(&mut self, tenant: &CachedTenant) {
        if tenant.route_epoch > self.route_epoch {
            self.route_epoch = tenant.route_epoch;
            self.changed_epochs.insert(tenant.tenant, tenant.route_epoch);
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
    use futures::FutureExt as _;
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
            route_epoch: 0,
            era: 0,
            change_seq: at,
        }
    }

    fn id(n: u128) -> TenantId {
        TenantId(Uuid::from_u128(n))
    }

    fn announced(map: &TenantMap) -> Vec<i64> {
        map.take_changed_epochs().into_values().collect()
    }

    #[tokio::test]
    async fn a_history_that_was_loaded_meanwhile_is_suspected_no_more() {
        let map = TenantMap::new();
        map.begin_era(History(1));
        map.suspect(History(2));
        map.begin_era(History(2));
        assert!(map.suspected().now_or_never().is_none(), "everything would be loaded again");
        map.suspect(History(1));
        assert!(map.suspected().now_or_never().is_some());
        assert!(map.suspected().now_or_never().is_none());
    }

    #[test]
    fn a_row_that_comes_late_changes_nothing() {
        let map = TenantMap::new();
        map.insert(tenant(1, "norte", State::Active, 5));
        map.take_changed_epochs();
        let cached = map.insert(tenant(1, "velho", State::Suspended, 4)).unwrap();
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
        let (first, second) = (1, 2);
        assert_eq!(announced(&map), [second]);
        map.insert(CachedTenant { epoch: 2, ..tenant(1, "norte", State::Active, 3) });
        assert_eq!(map.get(id(1)).unwrap().route_epoch, second);
        assert!(map.take_changed_epochs().is_empty() && first < second);
    }

    #[test]
    fn a_registry_that_went_back_is_believed_and_its_changed_routes_are_the_newest_again() {
        let map = TenantMap::new();
        map.insert(tenant(1, "norte", State::Active, 7));
        map.insert(tenant(2, "sul", State::Active, 8));
        map.take_changed_epochs();
        let before = [1, 2].map(|n| map.get(id(n)).unwrap().route_epoch);
        let era = map.begin_era(History(1)).number;
        map.insert(CachedTenant { era, ..tenant(1, "norte", State::Suspended, 3) });
        map.insert(CachedTenant { era, epoch: 8, ..tenant(2, "sul", State::Active, 4) });
        let [norte, sul] = [1, 2].map(|n| map.get(id(n)).unwrap());
        assert_eq!((norte.state, norte.epoch, sul.change_seq), (State::Suspended, 3, 4));
        assert!(norte.route_epoch > before[0], "connections of before would be used");
        assert_eq!(sul.route_epoch, before[1], "the same route was closed");
        assert_eq!(announced(&map), [norte.route_epoch]);
    }

    #[test]
    fn a_row_read_before_a_restore_is_refused_after_it() {
        let map = TenantMap::new();
        let era = map.era().number;
        map.begin_era(History(1));
        assert!(map.insert(CachedTenant { era, ..tenant(1, "norte", State::Active, 9) }).is_none());
        assert!(map.get(id(1)).is_none());
    }

    #[test]
    fn a_deleted_row_removes_its_tenant_but_never_a_newer_one() {
        let map = TenantMap::new();
        let old = map.insert(tenant(1, "norte", State::Active, 1)).unwrap();
        let new = map.insert(tenant(1, "norte", State::Active, 2)).unwrap();
        map.remove(&old);
        assert!(map.get(new.tenant).is_some());
        map.remove(&new);
        assert!(map.all().is_empty());
        let removed = announced(&map)[0];
        assert!(removed > new.route_epoch);
        map.insert(tenant(1, "norte", State::Active, 3));
        assert!(announced(&map)[0] > removed, "a row that was written again would never be served");
    }
}
