//! From rows to entries: opens credentials, once for each change, and puts the result into the map. Must not ask the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use postgres::session::Endpoint;
use registry::tenants::TenantRow;

use super::entry::{Entry, Fault};
use super::keys::Keys;
use super::map::Map;

pub(super) struct Memory {
    pub(super) map: Map,
    keys: Keys,
    /// By host and port: one for each server, with the authority that signed its certificate.
    endpoints: Mutex<HashMap<(String, u16), Arc<Endpoint>>>,
}

impl Memory {
    pub(super) fn new(keys: Keys) -> Self {
        Self { map: Map::new(), keys, endpoints: Mutex::default() }
    }

    /// What is known of a tenant once this row is; an unknown key makes the key file be read again first.
    pub(super) async fn absorb(&self, row: &TenantRow) -> Arc<Entry> {
        if let Some(known) = self.map.get(row.tenant).filter(|known| !says_more(row, known)) {
            return known;
        }
        let entry = Entry::of(row, &self.keys.held(), |endpoint| self.share(endpoint));
        if entry.fault != Some(Fault::UnknownKey) {
            return self.map.put(entry);
        }
        let opening = self.keys.reread().await;
        self.map.put(Entry::of(row, &opening, |endpoint| self.share(endpoint)))
    }

    fn share(&self, endpoint: &Endpoint) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = endpoints.entry((endpoint.host.clone(), endpoint.port)).or_insert_with(|| Arc::new(endpoint.clone()));
        if **shared != *endpoint {
            *shared = Arc::new(endpoint.clone());
        }
        Arc::clone(shared)
    }
}

/// Written later, or perhaps to be opened now.
fn says_more(row: &TenantRow, known: &Entry) -> bool {
    row.change_seq > known.change_seq || (row.change_seq == known.change_seq && known.fault == Some(Fault::UnknownKey))
}
