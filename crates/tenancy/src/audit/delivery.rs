//! Delivers batches of audit records: finds the database for each, writes to it, and handles failures.
//!
//! Must not keep a batch for longer than its time: a school that does not answer is tried again later.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::{ServerName, TenantId};
use domain::retry::Class;
use postgres::error::Doing as _;
use sqlx::postgres::PgPool;

use super::batch::Batch;
use super::destination::Destination;
use super::insert::insert;
use super::metrics;
use super::record::Record;
use super::table::Table;
use crate::SCHEMA;
use crate::maintenance::Maintenance;
use crate::pools::{self, Pools, Target};
use crate::registry_cache::RegistryCache;

pub(super) struct Delivery {
    pools: Arc<Pools>,
    registry_cache: Arc<RegistryCache>,
    master: PgPool,
    timeout: Duration,
    /// Servers that could not be reached at the last attempt. `None` is the master database's.
    unreachable: Mutex<HashSet<Option<ServerName>>>,
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
            Self::Connection(
                pools::Error::Unreachable(_)
                | pools::Error::Refused(_)
                | pools::Error::Stale
                | pools::Error::BreakerOpen { .. }
                | pools::Error::Stopping,
            ) => Class::Transient,
            Self::Statement(error) => error.class(),
        }
    }

    /// The whole server is at fault, not one database on it.
    fn is_of_server(&self) -> bool {
        match self {
            Self::Connection(error) => matches!(error, pools::Error::Unreachable(_) | pools::Error::BreakerOpen { refused: false, .. }),
            Self::Statement(error) => error.is_unreachable(),
        }
    }
}

impl Delivery {
    pub(super) fn new(pools: Arc<Pools>, registry_cache: Arc<RegistryCache>, master: PgPool, timeout: Duration) -> Self {
        Self { pools, registry_cache, master, timeout, unreachable: Mutex::default(), maintenance: Maintenance::default() }
    }

    /// Whether a batch for this destination is likely to take all its time and fail.
    pub(super) fn is_doubtful(&self, destination: Destination) -> bool {
        let unreachable = self.unreachable();
        // Usually no server is unreachable, and then no target needs to be found.
        !unreachable.is_empty() && unreachable.contains(&self.target(destination).map(|target| target.server.clone()))
    }

    /// Writes a batch, or puts it back into the queue.
    pub(super) async fn deliver(self: Arc<Self>, batch: Batch) {
        let (began, target) = (Instant::now(), self.target(batch.destination));
        let destination = if target.is_some() { batch.destination } else { Destination::Platform };
        let writing = async {
            match &target {
                Some(target) => self.write_to_school(target, &batch.records).await,
                None => self.write_to_platform(&batch.records).await,
            }
        };
        let written = tokio::time::timeout(self.timeout, writing).await;
        let written = written.unwrap_or_else(|_| Err(postgres::Error::timed_out("writing the access audit").into()));
        metrics::batch(destination.label(), began.elapsed());
        let server = target.map(|target| target.server.clone());
        match written {
            Ok(refused) => {
                self.unreachable().remove(&server);
                settle(batch, destination, refused);
            }
            Err(error) => {
                if error.is_of_server() {
                    self.unreachable().insert(server);
                }
                fail(batch, &error);
            }
        }
    }

    /// Whether the master database needs its daily maintenance: also on a day without a batch, because logins are recorded without one.
    pub(super) fn platform_maintenance_due(&self) -> bool {
        self.maintenance.is_due(None)
    }

    /// Runs it.
    pub(super) async fn maintain_platform(self: Arc<Self>) {
        self.maintenance.retain(|school| self.registry_cache.cached(school).is_some());
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

    /// Where a school's records go now. None when it is not served: then they go to the platform.
    fn target(&self, destination: Destination) -> Option<Arc<Target>> {
        school(&self.registry_cache, destination.tenant()?)
    }

    async fn write_to_school(&self, target: &Arc<Target>, records: &[Record]) -> Result<usize, Error> {
        let mut conn = self.pools.connection(target).await?;
        self.maintenance.run(&mut conn, Some(target.tenant)).await;
        match insert(&mut conn, Table::School, records).await {
            Ok(refused) => {
                conn.finish();
                Ok(refused)
            }
            Err(error) => {
                if error.is(postgres::error::READ_ONLY) {
                    // The batch is tried again later, on whatever connection there is then.
                    let _ = conn.leave_standby();
                }
                Err(error.into())
            }
        }
    }

    async fn write_to_platform(&self, records: &[Record]) -> Result<usize, Error> {
        let mut conn = self.master.acquire().await.doing("connecting to the master database")?;
        Ok(insert(&mut conn, Table::Platform, records).await?)
    }

    fn unreachable(&self) -> MutexGuard<'_, HashSet<Option<ServerName>>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A school's own database, when the school is served and its table has every column of a record.
pub(super) fn school(registry_cache: &RegistryCache, tenant: TenantId) -> Option<Arc<Target>> {
    let tenant = registry_cache.cached(tenant).filter(|tenant| tenant.schema_version.is_some_and(|version| version >= SCHEMA))?;
    tenant.target.clone()
}

fn settle(batch: Batch, destination: Destination, refused: usize) {
    let written = batch.records.len() - refused;
    metrics::written(destination.label(), written.try_into().unwrap_or(u64::MAX));
    if batch.failures > 0 {
        tracing::info!(destination = ?batch.destination, written, "the access audit is written again");
    }
    if refused > 0 {
        tracing::warn!(destination = ?batch.destination, refused, "the database refused records of the access audit");
    }
    batch.settle(refused);
}

fn fail(batch: Batch, error: &Error) {
    let (destination, records, error_chain) = (batch.destination, batch.records.len(), error as &dyn std::error::Error);
    // One warning for each outage: a server with many schools would fill the log.
    if batch.failures == 0 {
        tracing::warn!(?destination, records, error = error_chain, "the access audit waits for its database");
    } else {
        tracing::debug!(
            ?destination,
            records,
            error = error_chain,
            failures = batch.failures,
            "the access audit still waits for its database"
        );
    }
    batch.fail(error.class());
}
