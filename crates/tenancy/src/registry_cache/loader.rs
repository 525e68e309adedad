//! From rows to cached tenants: opens the credentials, once for each change, and puts the result into the map.
//!
//! Must not query the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use postgres::session::Endpoint;
use registry::tenants::TenantRow;

use super::opening_keys::OpeningKeyFile;
use super::tenant::{CachedTenant, Fault};
use super::tenant_map::TenantMap;

pub(super) struct Loader {
    tenants: Arc<TenantMap>,
    keys: OpeningKeyFile,
    /// One for each server's host and port, with the authority that signed its certificate.
    endpoints: Mutex<HashMap<(String, u16), Arc<Endpoint>>>,
}

impl Loader {
    pub(super) fn new(tenants: Arc<TenantMap>, keys: OpeningKeyFile) -> Self {
        Self { tenants, keys, endpoints: Mutex::default() }
    }

    pub(super) fn tenants(&self) -> &TenantMap {
        &self.tenants
    }

    /// Loads a row that was read in this era, and returns the tenant as it is cached then; none when the era is over. For a key that is unknown the key file is
    /// read again first.
    pub(super) async fn load(&self, row: &TenantRow, era: u64) -> Option<Arc<CachedTenant>> {
        if let Some(cached) = self.tenants.get(row.tenant).filter(|cached| cached.era == era && !may_supersede(row, cached)) {
            return Some(cached);
        }
        let tenant = CachedTenant::new(row, era, &self.keys.current(), |endpoint| self.share(endpoint));
        if tenant.fault != Some(Fault::UnknownKey) {
            return self.tenants.insert(tenant);
        }
        let opening = self.keys.reload().await;
        self.tenants.insert(CachedTenant::new(row, era, &opening, |endpoint| self.share(endpoint)))
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

/// The row was written later, or its credentials can perhaps be opened now.
fn may_supersede(row: &TenantRow, cached: &CachedTenant) -> bool {
    row.change_seq > cached.change_seq || (row.change_seq == cached.change_seq && cached.fault == Some(Fault::UnknownKey))
}
