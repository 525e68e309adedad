//! Tenants by id, read without a lock.
//!
//! Writers take turns, and nothing goes backwards: an entry is replaced by one that was written later in the registry, and by no other. Must not do I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use tokio::sync::Notify;

use super::entry::{Entry, Fault, State};

pub(super) struct Map {
    entries: papaya::HashMap<TenantId, Arc<Entry>>,
    turn: Mutex<Pending>,
    grew: Notify,
}

/// What is still to be done about entries; at most one note of a kind for each tenant. The writers' lock, too.
#[derive(Default)]
struct Pending {
    /// Epochs that nobody was told of yet.
    grown: HashMap<TenantId, i64>,
    /// Tenants whose key is not there yet.
    unopened: HashSet<TenantId>,
}

impl Map {
    pub(super) fn new() -> Self {
        Self { entries: papaya::HashMap::new(), turn: Mutex::default(), grew: Notify::new() }
    }

    pub(super) fn get(&self, tenant: TenantId) -> Option<Arc<Entry>> {
        self.entries.pin().get(&tenant).cloned()
    }

    /// How many there are, deleted ones aside.
    pub(super) fn len(&self) -> usize {
        self.entries.pin().values().filter(|entry| entry.state != State::Deleted).count()
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.pin().values().cloned().collect()
    }

    /// Puts an entry in its place unless what is there is as new; returns what is there then.
    pub(super) fn put(&self, entry: Entry) -> Arc<Entry> {
        let mut pending = self.lock();
        let known = self.get(entry.tenant);
        if let Some(known) = known.as_ref().filter(|known| !entry.supersedes(known)) {
            return Arc::clone(known);
        }
        if let Some(fault) = entry.fault {
            tracing::warn!(tenant = %entry.tenant, code = entry.code, epoch = entry.epoch, %fault, "a tenant cannot be served");
        }
        let entry = Arc::new(entry);
        self.entries.pin().insert(entry.tenant, Arc::clone(&entry));
        pending.note(&entry, known.map(|known| known.epoch));
        drop(pending);
        self.grew.notify_one();
        entry
    }

    /// Takes out an entry whose row is gone, unless it was replaced since.
    pub(super) fn withdraw(&self, gone: &Arc<Entry>) {
        let mut pending = self.lock();
        let entries = self.entries.pin();
        if entries.get(&gone.tenant).is_some_and(|known| Arc::ptr_eq(known, gone)) {
            entries.remove(&gone.tenant);
            pending.unopened.remove(&gone.tenant);
            // Whatever connections it has are old.
            pending.grown.insert(gone.tenant, i64::MAX);
            self.grew.notify_one();
        }
    }

    /// Epochs that grew since this was last asked, by tenant; ends at once.
    pub(super) fn take_grown(&self) -> HashMap<TenantId, i64> {
        std::mem::take(&mut self.lock().grown)
    }

    /// Ends when there may be something to take.
    pub(super) async fn grown(&self) {
        self.grew.notified().await;
    }

    /// Tenants whose credentials were sealed with a key that was not there.
    pub(super) fn unopened(&self) -> Vec<TenantId> {
        self.lock().unopened.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn note(&mut self, entry: &Entry, before: Option<i64>) {
        if before.is_none_or(|before| before < entry.epoch) {
            self.grown.insert(entry.tenant, entry.epoch);
        }
        if entry.fault == Some(Fault::UnknownKey) {
            self.unopened.insert(entry.tenant);
        } else {
            self.unopened.remove(&entry.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn entry(tenant: u128, code: &str, state: State, at: i64) -> Entry {
        let (schema_version, server, database, pool, target, fault) = (None, None, None, None, None, None);
        let (tenant, name) = (TenantId(Uuid::from_u128(tenant)), String::new());
        Entry { tenant, code: code.into(), name, state, epoch: at, schema_version, server, database, pool, target, fault, change_seq: at }
    }

    #[test]
    fn an_entry_that_comes_late_changes_nothing() {
        let map = Map::new();
        map.put(entry(1, "norte", State::Active, 5));
        map.take_grown();
        let standing = map.put(entry(1, "velho", State::Suspended, 4));
        assert_eq!((standing.state, standing.change_seq), (State::Active, 5));
        assert_eq!(map.get(standing.tenant).map(|entry| entry.code.clone()).as_deref(), Some("norte"));
        assert!(map.take_grown().is_empty());
    }

    #[test]
    fn a_deleted_tenant_is_remembered_and_not_counted() {
        let map = Map::new();
        for (n, state) in [(1, State::Active), (2, State::Retained), (3, State::Deleted)] {
            map.put(entry(n, "norte", state, 1));
        }
        assert_eq!((map.all().len(), map.len()), (3, 2));
    }

    #[test]
    fn an_epoch_that_grew_is_told_once_and_one_that_stayed_is_not() {
        let map = Map::new();
        map.put(entry(1, "norte", State::Active, 1));
        map.put(entry(1, "norte", State::Active, 2));
        assert_eq!(map.take_grown().into_values().collect::<Vec<_>>(), [2]);
        map.put(Entry { epoch: 2, ..entry(1, "norte", State::Active, 3) });
        assert!(map.take_grown().is_empty());
    }

    #[test]
    fn a_row_that_was_removed_takes_its_entry_along_but_never_a_newer_one() {
        let map = Map::new();
        let old = map.put(entry(1, "norte", State::Active, 1));
        let new = map.put(entry(1, "norte", State::Active, 2));
        map.withdraw(&old);
        assert!(map.get(new.tenant).is_some());
        map.withdraw(&new);
        assert!(map.all().is_empty());
        assert_eq!(map.take_grown().into_values().collect::<Vec<_>>(), [i64::MAX]);
    }
}
