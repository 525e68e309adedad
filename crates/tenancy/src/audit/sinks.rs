//! From a batch to rows: which database it goes to, and what to do when that fails.
//!
//! Must not keep a batch for longer than its time: a school that does not answer is left for later.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::{ServerName, TenantId};
use domain::retry::Class;
use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, PgPool};

use super::queue::{Batch, Sink};
use super::table::Table;
use super::{Record, metrics};
use crate::SCHEMA;
use crate::maintenance::Maintenance;
use crate::pools::{self, Pools, Target};
use crate::registry_cache::RegistryCache;

pub(super) struct Sinks {
    pools: Arc<Pools>,
    registry_cache: Arc<RegistryCache>,
    master: PgPool,
    timeout: Duration,
    /// Servers that could not be reached when they were last tried; none is the master database's.
    doubted: Mutex<HashSet<Option<ServerName>>>,
    maintenance: Maintenance,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Connection(#[from] pools::Error),
    #[error(transparent)]
    Statement(#[from] postgres::Error),
}

impl Error {
    fn class(&self) -> Class {
        match self {
            Self::Connection(pools::Error::Exhausted { .. } | pools::Error::Busy) => Class::Contended,
            Self::Connection(_) => Class::Transient,
            Self::Statement(error) => error.class(),
        }
    }

    /// The server is to blame and not this one database of it.
    fn is_of_server(&self) -> bool {
        match self {
            Self::Connection(error) => matches!(error, pools::Error::Unreachable(_) | pools::Error::BreakerOpen { refused: false, .. }),
            Self::Statement(error) => error.is_unreachable(),
        }
    }
}

impl Sinks {
    pub(super) fn new(pools: Arc<Pools>, registry_cache: Arc<RegistryCache>, master: PgPool, timeout: Duration) -> Self {
        Self { pools, registry_cache, master, timeout, doubted: Mutex::default(), maintenance: Maintenance::default() }
    }

    /// A batch of this sink may well take all its time and fail.
    pub(super) fn doubts(&self, sink: Sink) -> bool {
        let doubted = lock(&self.doubted);
        // Mostly none is, and then nothing needs to be looked up.
        !doubted.is_empty() && doubted.contains(&self.target(sink).map(|target| target.server.clone()))
    }

    /// Writes a batch, or gives it back.
    pub(super) async fn deliver(self: Arc<Self>, batch: Batch) {
        let (began, target) = (Instant::now(), self.target(batch.sink));
        let sink = if target.is_some() { batch.sink } else { Sink::Platform };
        let writing = async {
            match &target {
                Some(target) => self.to_school(target, &batch.records).await,
                None => self.to_platform(&batch.records).await,
            }
        };
        let written = tokio::time::timeout(self.timeout, writing).await;
        let written = written.unwrap_or_else(|_| Err(postgres::Error::timed_out("writing the access audit").into()));
        metrics::batch(sink.label(), began.elapsed());
        let server = target.map(|target| target.server.clone());
        match written {
            Ok(refused) => {
                lock(&self.doubted).remove(&server);
                settle(batch, sink, refused);
            }
            Err(error) => {
                if error.is_of_server() {
                    lock(&self.doubted).insert(server);
                }
                fail(batch, &error);
            }
        }
    }

    /// Where a school's records go now; none when it does not serve, and its records are the platform's.
    fn target(&self, sink: Sink) -> Option<Arc<Target>> {
        let Sink::School(tenant) = sink else { return None };
        school(&self.registry_cache, tenant)
    }

    async fn to_school(&self, target: &Arc<Target>, records: &[Record]) -> Result<usize, Error> {
        let mut conn = self.pools.connection(target).await?;
        self.maintenance.run(&mut conn, Some(target.tenant)).await;
        let refused = insert(&mut conn, Table::School, records).await?;
        conn.finish();
        Ok(refused)
    }

    /// Whether the master database needs its daily maintenance: also on a day without a batch, because logins are recorded without one.
    pub(super) fn platform_maintenance_due(&self) -> bool {
        self.maintenance.is_due(None)
    }

    /// Runs it.
    pub(super) async fn maintain_platform(self: Arc<Self>) {
        let maintaining = async {
            match self.master.acquire().await.doing("connecting to the master database") {
                Ok(mut conn) => self.maintenance.run(&mut conn, None).await,
                Err(error) => {
                    self.maintenance.postpone(None);
                    tracing::debug!(%error, "the maintenance of the master database is postponed");
                }
            }
        };
        // An attempt that runs out of time is postponed already.
        let _ = tokio::time::timeout(self.timeout, maintaining).await;
    }

    async fn to_platform(&self, records: &[Record]) -> Result<usize, Error> {
        let mut conn = self.master.acquire().await.doing("connecting to the master database")?;
        Ok(insert(&mut conn, Table::Platform, records).await?)
    }
}

/// A school's own database, when it serves and its table has every column of a record.
pub(super) fn school(registry_cache: &RegistryCache, tenant: TenantId) -> Option<Arc<Target>> {
    let entry = registry_cache.cached(tenant).filter(|entry| entry.schema_version.is_some_and(|version| version >= SCHEMA))?;
    entry.target.clone()
}

/// All of them, or one by one when the database refuses what one of them says. Returns how many it refused.
async fn insert(conn: &mut PgConnection, table: Table, records: &[Record]) -> postgres::Result<usize> {
    match table.insert(conn, records).await {
        Err(error) if is_refusal(&error) => {}
        written => return written.map(|()| 0),
    }
    let mut refused = 0;
    for record in records {
        match table.insert(conn, std::slice::from_ref(record)).await {
            Err(error) if is_refusal(&error) => refused += 1,
            written => written?,
        }
    }
    Ok(refused)
}

/// The values are to blame (data exceptions, violated constraints): trying again will not help.
fn is_refusal(error: &postgres::Error) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

fn settle(batch: Batch, sink: Sink, refused: usize) {
    let written = batch.records.len() - refused;
    metrics::written(sink.label(), written.try_into().unwrap_or(u64::MAX));
    if batch.failures > 0 {
        tracing::info!(sink = ?batch.sink, written, "the access audit is written again");
    }
    if refused > 0 {
        tracing::warn!(sink = ?batch.sink, refused, "the database refused records of the access audit");
    }
    batch.settle(refused);
}

fn fail(batch: Batch, error: &Error) {
    let (sink, records, error_chain) = (batch.sink, batch.records.len(), error as &dyn std::error::Error);
    // Once for each outage: a server with many schools would fill the log.
    if batch.failures == 0 {
        tracing::warn!(?sink, records, error = error_chain, "the access audit waits for its database");
    } else {
        tracing::debug!(?sink, records, error = error_chain, failures = batch.failures, "the access audit still waits for its database");
    }
    batch.fail(error.class());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
