//! A tenant registry cache that follows its registry, and rows that change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use provisioning::master::tenants::Publication;
use tenancy::registry_cache::{CachedTenant, RegistryCache, Settings, State};
use testing::{PATIENCE, until};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::master::Master;

/// Longer than any test.
pub(crate) const NEVER: Duration = Duration::from_hours(1);

pub(crate) fn settings() -> Settings {
    Settings { poll: NEVER, ..Settings::default() }
}

/// A cache that follows its registry until it is dropped.
pub(crate) struct Followed {
    pub(crate) cache: Arc<RegistryCache>,
    pub(crate) changes: mpsc::UnboundedReceiver<(TenantId, i64)>,
    pub(crate) _stop: DropGuard,
}

impl Followed {
    pub(crate) async fn start(master: &Master, settings: Settings) -> Self {
        let cache = RegistryCache::load(master.api(), master.opening.clone(), settings).await.unwrap();
        let (sender, changes) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let following = Arc::clone(&cache).follow(move |tenant, epoch| sender.send((tenant, epoch)).unwrap_or_default(), stop.clone());
        let loaded = Instant::now();
        tokio::spawn(following);
        let line_is_up = async || {
            let since = loaded.elapsed();
            cache.age() < since
        };
        until("a line to the registry", line_is_up).await;
        Self { cache, changes, _stop: stop.drop_guard() }
    }

    /// Waits until the cache has announced a change after which `condition` is true.
    pub(crate) async fn until(&mut self, what: &str, mut condition: impl FnMut(&RegistryCache) -> bool) {
        let announced = async {
            while !condition(&self.cache) {
                self.changes.recv().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, announced).await.unwrap_or_else(|_| panic!("never happened: {what}"));
    }

    pub(crate) async fn until_epoch(&mut self, tenant: TenantId, epoch: i64) {
        self.until("the new route", |cache| cache.cached(tenant).is_some_and(|entry| entry.epoch >= epoch)).await;
    }
}

pub(crate) fn stranger(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n))
}

/// Another route, and so another epoch, each time.
pub(crate) fn moved(publication: &Publication, size: u16) -> Publication {
    let mut moved = publication.clone();
    moved.route.endpoint.host = format!("pg-{size}.example");
    moved.route.pool.size = size;
    moved
}

pub(crate) fn size(cache: &RegistryCache, tenant: TenantId) -> Option<u16> {
    cache.cached(tenant)?.target.as_ref().map(|target| target.size)
}

pub(crate) fn state(entry: Option<Arc<CachedTenant>>) -> Option<(State, bool)> {
    entry.map(|entry| (entry.state, entry.target.is_some()))
}
