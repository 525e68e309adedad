//! The tenant registry in memory: which tenants there are and where their databases are, without a query for each request (ADR 17).
//!
//! The whole registry is loaded before the first request and kept current by notifications and a poll. While the master database is down, cached
//! tenants are served, and a tenant that is not cached is an error, never an absence. A registry that was restored to an earlier time is believed within seconds.
//! Must not decide who may use a tenant, nor connect to a tenant's database.

mod absences;
mod error;
mod follow;
mod loader;
mod lookup;
mod opening_keys;
mod settings;
mod tenant;
mod tenant_map;

use std::sync::Arc;
use std::time::Duration;

use domain::names::TenantId;
use registry::seal::OpeningKeys;
use sqlx::postgres::PgPool;
use tokio_util::sync::CancellationToken;

use self::follow::Follower;
use self::loader::Loader;
use self::lookup::Lookup;
use self::opening_keys::OpeningKeyFile;
use self::tenant_map::TenantMap;

pub use self::error::{Error, Result};
pub use self::settings::Settings;
pub use self::tenant::{CachedTenant, Fault, State};

/// Every tenant, in memory. Shared: `Arc<RegistryCache>`.
pub struct RegistryCache {
    tenants: Arc<TenantMap>,
    lookup: Lookup,
    follower: Follower,
}

impl RegistryCache {
    /// Reads the whole registry.
    ///
    /// # Errors
    /// [`Error::SchemaOutdated`] until the operator has migrated the master database, or when the registry fails. Both may pass, so try again.
    pub async fn load(pool: PgPool, opening: OpeningKeys, settings: Settings) -> Result<Arc<Self>> {
        let tenants = Arc::new(TenantMap::new());
        let keys = OpeningKeyFile::new(opening, settings.key_file.clone());
        let loader = Arc::new(Loader::new(Arc::clone(&tenants), keys));
        let lookup = Lookup::new(pool.clone(), Arc::clone(&loader), &settings);
        let follower = Follower::load(pool, loader, settings).await?;
        Ok(Arc::new(Self { tenants, lookup, follower }))
    }

    /// The tenant with this id, from memory unless it is new. Deleted and retained tenants do not exist for the caller.
    ///
    /// # Errors
    /// When the tenant is not in memory and the registry fails: whether it exists is unknown.
    pub async fn by_id(&self, id: TenantId) -> Result<Option<Arc<CachedTenant>>> {
        match self.tenants.get(id) {
            Some(tenant) => Ok(tenant.visible()),
            None => self.lookup.find(id).await,
        }
    }

    /// The tenant with this id if it is in memory. Queries nothing.
    #[must_use]
    pub fn cached(&self, id: TenantId) -> Option<Arc<CachedTenant>> {
        self.tenants.get(id).and_then(CachedTenant::visible)
    }

    /// Reads a tenant again, for a caller that its database refused. Callers at the same time share one query, and so do those within
    /// [`Settings::refetch_interval`].
    ///
    /// # Errors
    /// When the registry fails. What is in memory stays.
    pub async fn refetch(&self, id: TenantId) -> Result<Option<Arc<CachedTenant>>> {
        self.lookup.refetch(id).await
    }

    /// Tells the operator that a tenant's login was refused although the route in memory is current.
    pub async fn announce_refusal(&self, id: TenantId) {
        self.lookup.announce_refusal(id).await;
    }

    /// Keeps memory current until `stop`. Calls `on_change` with the new epoch of every route that changed, or whose row was removed, after memory has it. These
    /// epochs are this process's own ([`Target::epoch`](crate::pools::Target)) and grow even when the registry is restored to an earlier time.
    pub async fn follow(self: Arc<Self>, on_change: impl Fn(TenantId, i64) + Send + Sync, stop: CancellationToken) {
        self.follower.follow(on_change, stop).await;
    }

    /// Time since the registry last confirmed that memory is current.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.follower.age()
    }

    /// At most `limit` tenants by code, beginning after the code `after`, without deleted and retained ones.
    #[must_use]
    pub fn list(&self, after: Option<&str>, limit: usize) -> Vec<Arc<CachedTenant>> {
        let mut tenants = self.tenants.all();
        tenants.retain(|tenant| tenant.is_visible() && after.is_none_or(|after| tenant.code.as_str() > after));
        tenants.sort_unstable_by(|a, b| a.code.cmp(&b.code));
        tenants.truncate(limit);
        tenants
    }

    /// How many tenants there are: all but the deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// There is no tenant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
