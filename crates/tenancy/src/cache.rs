//! Values that are slow to load and seldom change, kept in Redis for each tenant by itself (ADR 14).
//!
//! The API works without Redis: whatever fails there costs one caller a bounded wait and a load. A value counts only when it names this tenant, this
//! key and their current versions. Must not answer whether somebody may do something: a permission that was withdrawn could survive in Redis, or be
//! forged there (ADR 21).

mod client;
mod key;
pub mod metrics;
mod pending;
mod settings;
mod store;
mod stored;

use std::future::Future;
use std::sync::Arc;

use domain::names::TenantId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::key::TenantKey;
use self::store::Store;

pub use self::key::Key;
pub use self::settings::{Error, Settings};

/// The cache of one process. A clone is the same cache.
#[derive(Clone, Debug)]
pub struct Cache(Option<Arc<Store>>);

impl Cache {
    /// No cache: every value is loaded.
    #[must_use]
    pub fn disabled() -> Self {
        Self(None)
    }

    /// A cache that connects on first use.
    ///
    /// # Errors
    /// What is wrong with the settings. An absent Redis is no error.
    pub fn connect(settings: Settings) -> Result<Self, Error> {
        metrics::describe();
        Store::new(settings).map(|store| Self(Some(Arc::new(store))))
    }

    /// The cached value, or the result of `load`, which is then cached. Of several callers in this process only one loads.
    ///
    /// # Errors
    /// Those of `load`, and no others. A caller that waited for a load that failed runs its own.
    pub async fn get_or_load<T, E, F>(&self, tenant: TenantId, key: Key, load: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Future<Output = Result<T, E>>,
    {
        match &self.0 {
            Some(store) => store.get_or_load(&TenantKey { tenant, key }, load).await,
            None => load.await,
        }
    }

    /// Makes the value invalid for every later reader, also one that is being loaded. Call it after the commit, from a task that survives the request's
    /// cancellation. It completes even if its caller is dropped, and is repeated later when Redis does not answer.
    pub async fn invalidate(&self, tenant: TenantId, key: Key) {
        self.detached(async move |store| store.invalidate(&TenantKey { tenant, key }).await).await;
    }

    /// The same for every value of the tenant.
    pub async fn invalidate_all(&self, tenant: TenantId) {
        self.detached(async move |store| store.invalidate_all(tenant).await).await;
    }

    async fn detached<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Arc<Store>) -> F) {
        if let Some(store) = &self.0 {
            // An error means only that the process is ending.
            let _ = tokio::spawn(work(store.clone())).await;
        }
    }
}
