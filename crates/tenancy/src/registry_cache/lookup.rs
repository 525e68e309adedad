//! Reads one tenant from the registry: when it is not in memory, or when its own database refused what memory says.
//!
//! Must not become a way to load the registry: one query at a time for each tenant, few at a time in all, and results are kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use futures::FutureExt as _;
use quick_cache::sync::Cache;
use registry::{refusals, tenants};
use sqlx::postgres::PgPool;
use telemetry::logs::chain;
use tokio::sync::Semaphore;

use super::absences::Absences;
use super::error::{Error, Result};
use super::loader::Loader;
use super::settings::Settings;
use super::tenant::CachedTenant;
use crate::single_flight::SingleFlight;

/// Half of the pool's connections. Logins need the others.
const CONCURRENT_QUERIES: usize = 4;
/// Between two announcements of one tenant's refused login by this process.
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_mins(1);
/// Tenants whose last refetch is remembered.
const MAX_REFETCHED: usize = 10_000;

type Found = Result<Option<Arc<CachedTenant>>>;

pub(super) struct Lookup {
    queries: Arc<Queries>,
    flights: SingleFlight<TenantId, Found>,
    refetch_interval: Duration,
}

/// What a query needs. Shared, because a query continues when the caller that began it is dropped.
struct Queries {
    pool: PgPool,
    loader: Arc<Loader>,
    concurrent: Semaphore,
    timeout: Duration,
    absences: Absences,
    last: Cache<TenantId, (Instant, Result<()>)>,
    announced: Cache<TenantId, Instant>,
}

impl Lookup {
    pub(super) fn new(pool: PgPool, loader: Arc<Loader>, settings: &Settings) -> Self {
        let (concurrent, absences) = (Semaphore::new(CONCURRENT_QUERIES), Absences::new(settings.absence_ttl));
        let (last, announced) = (Cache::new(MAX_REFETCHED), Cache::new(MAX_REFETCHED));
        let queries = Queries { pool, loader, concurrent, timeout: settings.query_timeout, absences, last, announced };
        Self { queries: Arc::new(queries), flights: SingleFlight::default(), refetch_interval: settings.refetch_interval }
    }

    /// A tenant that is not in memory.
    pub(super) async fn find(&self, tenant: TenantId) -> Found {
        if self.queries.absences.contains(tenant) { Ok(None) } else { self.query(tenant).await }
    }

    /// A tenant as the registry has it now, or had it within the last interval.
    pub(super) async fn refetch(&self, tenant: TenantId) -> Found {
        match self.queries.last.get(&tenant).filter(|(at, _)| at.elapsed() < self.refetch_interval) {
            Some((_, result)) => result.map(|()| self.queries.loader.tenants().get(tenant).and_then(CachedTenant::visible)),
            None => self.query(tenant).await,
        }
    }

    /// Tells the operator that a tenant's login was refused although the route is current; once in a while, and not while the registry has enough to do.
    pub(super) async fn announce_refusal(&self, tenant: TenantId) {
        let Queries { pool, concurrent, timeout, announced, .. } = &*self.queries;
        let Ok(_permit) = concurrent.try_acquire() else { return };
        if announced.get(&tenant).is_some_and(|at| at.elapsed() < ANNOUNCEMENT_INTERVAL) {
            return;
        }
        announced.insert(tenant, Instant::now());
        if let Err(error) = refusals::announce(pool, tenant, *timeout).await {
            tracing::info!(%tenant, error = chain(&error), "the operator could not be told of a refused login");
        }
    }

    async fn query(&self, tenant: TenantId) -> Found {
        self.flights
            .run(&tenant, || {
                let queries = Arc::clone(&self.queries);
                async move { queries.run(tenant).await }.boxed()
            })
            .await
    }
}

impl Queries {
    async fn run(&self, tenant: TenantId) -> Found {
        let found = self.read(tenant).await;
        self.last.insert(tenant, (Instant::now(), found.as_ref().map(drop).map_err(Error::clone)));
        found
    }

    async fn read(&self, tenant: TenantId) -> Found {
        // Never closed, so that only time can run out.
        let Ok(Ok(_permit)) = tokio::time::timeout(self.timeout, self.concurrent.acquire()).await else {
            return Err(postgres::Error::timed_out("waiting to query the registry").into());
        };
        // Both taken before the query. If the registry has no such row now, the row existed then and was removed.
        let (cached, era) = (self.loader.tenants().get(tenant), self.loader.tenants().era());
        let reading = tenants::find(&self.pool, tenant, self.timeout).await?;
        if era.history != Some(reading.newest.history) {
            self.loader.tenants().suspect(reading.newest.history);
            return Err(Error::Reloading);
        }
        let Some(row) = reading.tenant else {
            if let Some(removed) = cached {
                self.loader.tenants().remove(&removed);
            }
            self.absences.insert(tenant);
            return Ok(None);
        };
        let loaded = self.loader.load(&row, era.number).await.ok_or(Error::Reloading)?;
        Ok(loaded.visible())
    }
}
