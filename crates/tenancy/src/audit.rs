//! The access audit: who did what to which resource, from where, and who was refused, as evidence in the school's own database.
//!
//! Writes are recorded in their own transaction (accounts: in the master database). Reads and refusals go through a bounded queue and are written in
//! batches. Recording never waits and never fails: what cannot be kept is dropped and counted. Must not hold a query string, a body, a token or an
//! e-mail address.

mod backlog;
mod batch;
mod delivery;
mod destination;
mod insert;
pub mod metrics;
mod queue;
mod record;
mod refusals;
mod settings;
mod table;
mod writer;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::names::TenantId;
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use uuid::Uuid;

pub use self::record::{Record, about_child};
pub use self::refusals::Limits;
pub use self::settings::Settings;
pub use self::table::Filter;
pub use self::writer::Writer;

use self::delivery::Delivery;
use self::destination::Destination;
use self::metrics::Unrecorded;
use self::queue::Queue;
use self::refusals::Refusals;
use self::table::Table;
use crate::pools::Pools;
use crate::registry_cache::RegistryCache;

/// Takes the records of requests. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: Arc<Queue>,
    refusals: Arc<Refusals>,
    registry_cache: Arc<RegistryCache>,
}

impl Audit {
    /// An empty queue, and its writer: nothing is written until [`Writer::run`] runs. `master` is a pool to the master database.
    #[must_use]
    pub fn start(pools: Arc<Pools>, registry_cache: Arc<RegistryCache>, master: PgPool, settings: Settings) -> (Self, Writer) {
        let (queue, refusals) = (Arc::new(Queue::new(&settings)), Arc::new(Refusals::new(settings.refusals)));
        let delivery = Arc::new(Delivery::new(pools, Arc::clone(&registry_cache), master, settings.timeout));
        let writer = Writer::new(Arc::clone(&queue), delivery, settings);
        (Self { queue, refusals, registry_cache }, writer)
    }

    /// Queues a record for its school, or for the platform if no school of it is served. Returns at once. When the queue is full, the destination that has the
    /// most to wait for loses its oldest record. Lost records are counted, and so are refusals that are too many to record.
    pub fn record(&self, record: Record) {
        let serves = |tenant: &TenantId| delivery::school(&self.registry_cache, *tenant).is_some();
        let destination = record.tenant.filter(serves).map_or(Destination::Platform, Destination::School);
        if !record.success
            && let Err(cause) = self.admit(destination, &record)
        {
            return metrics::unrecorded(cause);
        }
        self.queue.push(destination, record.bounded());
    }

    /// Anybody can cause refusals: they must neither fill a database nor push other records out.
    fn admit(&self, destination: Destination, refusal: &Record) -> Result<(), Unrecorded> {
        match destination {
            Destination::School(school) => self.refusals.admit_to_school(school, refusal),
            Destination::Platform if self.queue.is_pressed() => Err(Unrecorded::Queue),
            Destination::Platform => self.refusals.admit(refusal),
        }
    }

    /// Writes a record within the caller's transaction in the school's database: both commit, or neither. The record names its tenant.
    ///
    /// # Errors
    /// When the database refuses it. The transaction has failed then.
    pub async fn write(conn: &mut PgConnection, record: &Record) -> postgres::Result<()> {
        Table::School.insert(conn, std::slice::from_ref(record)).await
    }

    /// Adds the writing of a record to a statement in the school's database that a transaction executes anyway, as [`Audit::write`] does it.
    pub fn push_write(statement: &mut QueryBuilder<Postgres>, record: &Record) {
        Table::School.push_insert(statement, record);
    }

    /// As [`Audit::write`] in the master database, for actions there.
    ///
    /// # Errors
    /// As [`Audit::write`].
    pub async fn write_platform(conn: &mut PgConnection, record: &Record) -> postgres::Result<()> {
        Table::Platform.insert(conn, std::slice::from_ref(record)).await
    }

    /// At most `limit` records of a school, newest first, from before `after` (the last one's `at` and `id`).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        conn: &mut PgConnection,
        filter: &Filter,
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: u32,
    ) -> postgres::Result<Vec<Record>> {
        Table::School.list(conn, None, filter, after, limit).await
    }

    /// The same for the platform's own records, in the master database: of one tenant, or all records.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_platform(
        conn: &mut PgConnection,
        tenant: Option<TenantId>,
        filter: &Filter,
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: u32,
    ) -> postgres::Result<Vec<Record>> {
        Table::Platform.list(conn, tenant, filter, after, limit).await
    }

    /// How many records are in memory, including those being written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many records were lost since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}
