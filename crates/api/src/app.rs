//! Everything that the routes share. Cloned for each request, so it is one pointer.
//!
//! Must not hold anything of a single request.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::postgres::PgPool;
use tenancy::audit::Audit;
use tenancy::cache::Cache;
use tenancy::limits::{Exports, TenantLimits};
use tenancy::pools::Pools;
use tenancy::registry_cache::RegistryCache;

use super::grants::PermissionCache;
use super::identity::Identity;

/// The parts of a running API.
pub struct Parts {
    /// The registry in memory.
    pub registry_cache: Arc<RegistryCache>,
    /// Connections to schools' databases.
    pub pools: Arc<Pools>,
    /// Redis, if configured.
    pub cache: Cache,
    /// Keys, tokens and accounts.
    pub identity: Arc<Identity>,
    /// The access audit.
    pub audit: Audit,
    /// What each tenant may ask of this process at once.
    pub limits: TenantLimits,
    /// Exports in memory.
    pub exports: Exports,
    /// What users may do, as read in the last ten seconds.
    pub permissions: PermissionCache,
    /// The master database, as a member of `dailycare_api`.
    pub master: PgPool,
}

/// The state of the routes.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl App {
    /// From its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
