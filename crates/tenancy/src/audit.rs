//! The access audit: who did what to which thing, from where, and who was refused; evidence that stands in the school's own database.
//!
//! Writes are recorded in their own transaction (accounts: in the master database); reads and refusals go through a bounded queue and are written in batches. Recording never waits and never
//! fails: what cannot be kept is dropped and counted. Must not hold a query string, a body, a token or an e-mail address.

pub mod metrics;
mod queue;
mod record;
mod refusals;
mod sinks;
mod table;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

pub use record::Record;
pub use refusals::Limits;
pub use table::Filter;
pub use writer::Writer;

use domain::names::TenantId;

use self::metrics::Unrecorded;
use self::queue::{Queue, Sink};
use self::refusals::Refusals;
use self::sinks::Sinks;
use self::table::Table;
use super::pools::Pools;
use super::registry_cache::RegistryCache;

/// Bounds of the queue and of those who empty it. Numbers are at least 1; a 0 counts as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most records in memory, those being written included; a record holds at most 2.5 KB.
    pub capacity: usize,
    /// The most records of one batch; as many waiting are written without further delay.
    pub batch: usize,
    /// How long a record waits for others to be written with it.
    pub linger: Duration,
    /// Batches written at once, each of another sink; half as many more on servers that failed last.
    pub writers: usize,
    /// Time that one batch may take, connecting included.
    pub timeout: Duration,
    /// Time to write what is left on a stop.
    pub drain: Duration,
    /// Refusals that the platform's audit is to hold.
    pub refusals: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            batch: 500,
            linger: Duration::from_millis(200),
            writers: 4,
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            refusals: Limits::default(),
        }
    }
}

/// Where requests leave their records. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: Arc<Queue>,
    refusals: Arc<Refusals>,
    registry_cache: Arc<RegistryCache>,
}

impl Audit {
    /// An empty queue, and who empties it: nothing is written until [`Writer::run`] runs. `master` is a pool to the master database.
    #[must_use]
    pub fn start(pools: Arc<Pools>, registry_cache: Arc<RegistryCache>, master: PgPool, settings: Settings) -> (Self, Writer) {
        let (queue, refusals) = (Arc::new(Queue::new(&settings)), Arc::new(Refusals::new(settings.refusals)));
        let sinks = Arc::new(Sinks::new(pools, Arc::clone(&registry_cache), master, settings.timeout));
        let writer = Writer::new(Arc::clone(&queue), sinks, settings);
        (Self { queue, refusals, registry_cache }, writer)
    }

    /// Leaves a record to be written to its school, or to the platform when it has none that serves. Ends at once. When the queue is full, the sink with the
    /// most to wait for loses its oldest record; what is lost is counted. So are refusals of no school that come too often to be recorded each.
    pub fn record(&self, record: Record) {
        let serves = |tenant: &TenantId| sinks::school(&self.registry_cache, *tenant).is_some();
        let sink = record.tenant.filter(serves).map_or(Sink::Platform, Sink::School);
        if sink == Sink::Platform
            && !record.success
            && let Err(reason) = self.admit(&record)
        {
            return metrics::unrecorded(reason);
        }
        self.queue.push(sink, record.bounded());
    }

    /// Anybody can be refused as often as they like: that must neither fill the master database nor push others' records out.
    fn admit(&self, refusal: &Record) -> Result<(), Unrecorded> {
        if self.queue.is_pressed() {
            return Err(Unrecorded::Queue);
        }
        self.refusals.admit(refusal)
    }

    /// Writes a record within the caller's transaction in the school's database: both commit, or neither. The record names its tenant.
    ///
    /// # Errors
    /// When the database refuses it; the transaction is over then.
    pub async fn write(conn: &mut PgConnection, record: &Record) -> postgres::Result<()> {
        Table::School.insert(conn, std::slice::from_ref(record)).await
    }

    /// The same in the master database, for what is done there.
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

    /// The same of the platform's own records, in the master database: of one tenant, or of all and of none.
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

    /// How many records are in memory, those being written included.
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
