//! Asking the registry for one tenant: when it is not in memory, or when its own database refused what memory says.
//!
//! Must not become a way to load the registry: one question at a time for each tenant, few at a time in all, and answers are kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use futures::FutureExt as _;
use quick_cache::sync::Cache;
use registry::tenants;
use sqlx::postgres::PgPool;
use tokio::sync::Semaphore;

use super::absent::Absent;
use super::entry::Entry;
use super::flights::Flights;
use super::memory::Memory;
use super::{Error, Result, Settings};

/// Half of the pool's connections; who signs in needs the others.
const AT_ONCE: usize = 4;
/// Tenants whose last refetch is remembered.
const REFETCHED: usize = 10_000;

type Answer = Result<Option<Arc<Entry>>>;

pub(super) struct Lookups {
    source: Arc<Source>,
    flights: Flights<TenantId, Answer>,
    refetch: Duration,
}

/// What a question needs, on its own, because it may be carried on by any of those who wait for it.
struct Source {
    pool: PgPool,
    memory: Arc<Memory>,
    turns: Semaphore,
    limit: Duration,
    absent: Absent,
    asked: Cache<TenantId, (Instant, Result<()>)>,
}

impl Lookups {
    pub(super) fn new(pool: PgPool, memory: Arc<Memory>, settings: &Settings) -> Self {
        let (turns, absent, asked) = (Semaphore::new(AT_ONCE), Absent::new(settings.absence), Cache::new(REFETCHED));
        let source = Arc::new(Source { pool, memory, turns, limit: settings.answer, absent, asked });
        Self { source, flights: Flights::new(), refetch: settings.refetch }
    }

    /// A tenant that is not in memory.
    pub(super) async fn find(&self, tenant: TenantId) -> Answer {
        if self.source.absent.holds(tenant) { Ok(None) } else { self.ask(tenant).await }
    }

    /// A tenant as the registry has it now, or had it within the last interval.
    pub(super) async fn refetch(&self, tenant: TenantId) -> Answer {
        match self.source.asked.get(&tenant).filter(|(at, _)| at.elapsed() < self.refetch) {
            Some((_, answer)) => answer.map(|()| self.source.memory.map.get(tenant).and_then(Entry::visible)),
            None => self.ask(tenant).await,
        }
    }

    async fn ask(&self, tenant: TenantId) -> Answer {
        self.flights
            .join(&tenant, || {
                let source = Arc::clone(&self.source);
                async move { source.ask(tenant).await }.boxed()
            })
            .await
    }
}

impl Source {
    async fn ask(&self, tenant: TenantId) -> Answer {
        let answer = self.look(tenant).await;
        self.asked.insert(tenant, (Instant::now(), answer.as_ref().map(drop).map_err(Error::clone)));
        answer
    }

    async fn look(&self, tenant: TenantId) -> Answer {
        // Never closed, so that only time can run out.
        let Ok(Ok(_turn)) = tokio::time::timeout(self.limit, self.turns.acquire()).await else {
            return Err(postgres::Error::timed_out("waiting for a turn to ask the registry").into());
        };
        // Known before it was asked for: if the registry has no such row now, it had one then.
        let held = self.memory.map.get(tenant);
        let Some(row) = tenants::find(&self.pool, tenant, self.limit).await? else {
            if let Some(gone) = held {
                self.memory.map.withdraw(&gone);
            }
            self.absent.note(tenant);
            return Ok(None);
        };
        Ok(self.memory.absorb(&row).await.visible())
    }
}
