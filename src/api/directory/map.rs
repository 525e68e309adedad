//! Two maps that are read without a lock: tenants by id, and who has a code.
//!
//! Writers take turns, and nothing goes backwards: an entry is replaced by one that was written later in the registry, and by no other. Must not do I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::entry::{Entry, Fault, State};
use crate::domain::names::TenantId;

pub(super) struct Map {
    entries: papaya::HashMap<TenantId, Arc<Entry>>,
    codes: papaya::HashMap<String, TenantId>,
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
        Self { entries: papaya::HashMap::new(), codes: papaya::HashMap::new(), turn: Mutex::default(), grew: Notify::new() }
    }

    pub(super) fn get(&self, tenant: TenantId) -> Option<Arc<Entry>> {
        self.entries.pin().get(&tenant).cloned()
    }

    /// Who has a code.
    pub(super) fn holder(&self, code: &str) -> Option<Arc<Entry>> {
        let tenant = *self.codes.pin().get(code)?;
        // Between two writes, the maps may disagree.
        self.get(tenant).filter(|entry| entry.code == code && entry.state != State::Deleted)
    }

    pub(super) fn holders(&self) -> usize {
        self.codes.len()
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
        if let Some(known) = known.as_ref().filter(|known| known.code != entry.code) {
            self.release(known);
        }
        match entry.state {
            State::Deleted => self.release(&entry),
            _ => self.hold(&entry),
        }
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
            self.release(gone);
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

    /// Under the turn. The registry gives a code to one tenant at a time, so the later writer has it, in whatever order the two became known.
    fn hold(&self, entry: &Entry) {
        let codes = self.codes.pin();
        let later = |other: Arc<Entry>| other.tenant != entry.tenant && other.change_seq > entry.change_seq;
        if !self.holder(&entry.code).is_some_and(later) {
            codes.insert(entry.code.clone(), entry.tenant);
        }
    }

    /// Under the turn.
    fn release(&self, entry: &Entry) {
        let codes = self.codes.pin();
        if codes.get(&entry.code) == Some(&entry.tenant) {
            codes.remove(&entry.code);
        }
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

    fn holder(map: &Map, code: &str) -> Option<u128> {
        map.holder(code).map(|entry| entry.tenant.0.as_u128())
    }

    #[test]
    fn an_entry_that_comes_late_changes_nothing() {
        let map = Map::new();
        map.put(entry(1, "norte", State::Active, 5));
        map.take_grown();
        let standing = map.put(entry(1, "velho", State::Suspended, 4));
        assert_eq!((standing.state, standing.change_seq), (State::Active, 5));
        assert_eq!((holder(&map, "norte"), holder(&map, "velho")), (Some(1), None));
        assert!(map.take_grown().is_empty());
    }

    #[test]
    fn a_code_belongs_to_the_later_writer_in_whatever_order_they_become_known() {
        let told = [entry(1, "norte", State::Active, 1), entry(1, "norte", State::Deleted, 2), entry(2, "norte", State::Active, 3)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let map = Map::new();
            for n in order {
                map.put(told[n].clone());
            }
            assert_eq!((holder(&map, "norte"), map.holders()), (Some(2), 1), "{order:?}");
        }
    }

    #[test]
    fn a_tenant_that_changes_its_code_leaves_the_old_one_and_not_another_tenants() {
        let map = Map::new();
        map.put(entry(1, "norte", State::Active, 1));
        map.put(entry(1, "sul", State::Active, 2));
        assert_eq!((holder(&map, "norte"), holder(&map, "sul"), map.holders()), (None, Some(1), 1));
        map.put(entry(2, "norte", State::Active, 3));
        map.put(entry(1, "leste", State::Active, 4));
        assert_eq!((holder(&map, "norte"), holder(&map, "sul"), holder(&map, "leste")), (Some(2), None, Some(1)));
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
        assert_eq!(holder(&map, "norte"), Some(1));
        map.withdraw(&new);
        assert!(map.all().is_empty() && map.holders() == 0);
        assert_eq!(map.take_grown().into_values().collect::<Vec<_>>(), [i64::MAX]);
    }
}
