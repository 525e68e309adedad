//! From leave to a connection: for reading, or as a transaction that stamps its rows and writes its own audit record.
//!
//! A route that turned out stale is fetched afresh and tried once more, before anything was asked of the database.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use postgres::error::Doing as _;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tenancy::audit::Audit;
use tenancy::cache::Key;
use tenancy::pools::{self, Connection};
use tenancy::registry_cache;
use tracing::Instrument as _;

use super::{Access, Permission, Tenant, Trail, tenant};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::identity::UserId;
use crate::metrics;

impl<P: Permission> Access<P> {
    /// A connection to the school's database, to read with.
    ///
    /// # Errors
    /// When none is free in time, or the database cannot be reached.
    pub async fn connection(&self) -> Result<Connection> {
        connect(&self.app, &self.tenant).await
    }

    /// Reads that are all of one moment.
    ///
    /// # Errors
    /// As [`Access::connection`].
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut conn = self.connection().await?;
        conn.mark_transaction(true);
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(begin).execute(&mut *conn).await.doing("beginning a snapshot")?;
        Ok(Snapshot(conn))
    }

    /// A transaction as the request's user.
    ///
    /// # Errors
    /// When none is free in time, or the database cannot be reached.
    pub async fn begin(&self) -> Result<Writing> {
        let mut conn = self.connection().await?;
        conn.mark_transaction(true);
        begin(&mut conn, self.principal.user).await?;
        let (app, tenant) = (self.app.clone(), self.tenant.entry.tenant);
        Ok(Writing { conn, trail: self.trail.clone(), app, tenant, outdated: Vec::new() })
    }
}

/// A connection of this tenant's, on a fresh route when the one in memory is stale.
pub(super) async fn connect(app: &App, tenant: &Tenant) -> Result<Connection> {
    let begun = Instant::now();
    let connected = connect_afresh(app, tenant).await;
    metrics::tenant_pool_wait(tenant.entry.tenant, begun.elapsed());
    connected
}

async fn connect_afresh(app: &App, tenant: &Tenant) -> Result<Connection> {
    let stale = match app.pools.connection(&tenant.target).await {
        Ok(conn) => return Ok(conn),
        Err(error) if matches!(error, pools::Error::Stale | pools::Error::Refused(_) | pools::Error::Open { refused: true, .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let entry = app.registry_cache.refetch(tenant.entry.tenant).await?.ok_or(Code::InvalidTenant)?;
    // Serving differently is what made it stale; serving as before, the database is what is wrong.
    let fresh = tenant::serving(entry)?;
    if fresh.target.epoch == tenant.target.epoch {
        return Err(stale.into());
    }
    Ok(app.pools.connection(&fresh.target).await?)
}

/// One round trip: the transaction, and the user whom its rows are stamped with. The id is hexadecimal by its type.
async fn begin(conn: &mut PgConnection, user: UserId) -> Result<()> {
    let statement = format!("BEGIN; SELECT pg_catalog.set_config('app.user_id', '{}', true)", user.0.hyphenated());
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.doing("beginning a transaction")?;
    Ok(())
}

/// A transaction in the school's database. Dropped without [`Writing::commit`], it never happened.
pub struct Writing {
    conn: Connection,
    trail: Trail,
    app: App,
    tenant: TenantId,
    outdated: Vec<Outdated>,
}

/// What was remembered of a school and must not be believed any more once a transaction lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// What its users may do.
    Grants,
    /// One value in the cache.
    Value(Key),
    /// Every value in the cache.
    Values,
}

impl Writing {
    /// Names what is out of date once this lasts. [`Writing::commit`] has it forgotten, whatever becomes of its caller.
    pub fn outdates(&mut self, what: impl Into<Option<Outdated>>) {
        self.outdated.extend(what.into());
    }

    /// Makes it last, together with its record in the access audit, and has forgotten what that outdates. Where there is something to forget it goes on
    /// when its caller is dropped: a client that hangs up between the two would leave the old for as long as it is kept.
    ///
    /// # Errors
    /// When the database refuses, or does not answer: then it is unknown whether it lasts, and a repetition needs the same idempotency key.
    pub async fn commit(mut self) -> Result<()> {
        let (app, tenant, outdated) = (self.app.clone(), self.tenant, std::mem::take(&mut self.outdated));
        if outdated.is_empty() {
            return self.lasting().await;
        }
        let work = async move {
            let committed = self.lasting().await;
            // After an error too: it may last all the same.
            forget(&app, tenant, outdated).await;
            committed
        };
        tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| Err(Error::new(Code::Internal).because(error)))
    }

    async fn lasting(mut self) -> Result<()> {
        if let Some(record) = self.trail.record(true) {
            Audit::write(&mut self.conn, &record).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut *self.conn).await.doing("committing a transaction")?;
        self.conn.mark_transaction(false);
        self.trail.recorded();
        self.conn.finish();
        Ok(())
    }

    /// Undoes it, so that the connection can be used again at once. A failure to undo ends the connection.
    pub async fn undo(mut self) {
        if sqlx::raw_sql("ROLLBACK").execute(&mut *self.conn).await.is_ok() {
            self.conn.mark_transaction(false);
            self.conn.finish();
        }
    }
}

async fn forget(app: &App, tenant: TenantId, outdated: Vec<Outdated>) {
    for what in outdated {
        match what {
            Outdated::Grants => app.recent.forget(tenant),
            Outdated::Value(key) => app.cache.invalidate(tenant, key).await,
            Outdated::Values => app.cache.invalidate_all(tenant).await,
        }
    }
}

impl Deref for Writing {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

/// A school's database as it was at one moment. Dropped without [`Snapshot::end`], its connection waits for the server to end it.
pub struct Snapshot(Connection);

impl Snapshot {
    /// All is read: the connection can be used again at once. A failure to say so ends the connection.
    pub async fn end(mut self) {
        if sqlx::raw_sql("COMMIT").execute(&mut *self.0).await.is_ok() {
            self.0.mark_transaction(false);
            self.0.finish();
        }
    }
}

impl Deref for Snapshot {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Snapshot {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl From<pools::Error> for Error {
    fn from(error: pools::Error) -> Self {
        use pools::Error as Pool;
        let (code, wait) = match &error {
            Pool::Exhausted { .. } => (Code::PoolExhausted, SOON),
            Pool::Busy => (Code::TooManyRequests, SOON),
            Pool::Stopping => (Code::Stopping, SOON),
            Pool::Open { retry_after, .. } => (Code::DatabaseUnavailable, *retry_after),
            Pool::Unreachable(_) | Pool::Refused(_) | Pool::Stale => (Code::DatabaseUnavailable, LATER),
        };
        Self::new(code).after(wait).because(error)
    }
}

/// A connection is given back within moments.
const SOON: Duration = Duration::from_secs(1);
/// A server comes back within seconds.
const LATER: Duration = Duration::from_secs(5);

impl From<registry_cache::Error> for Error {
    fn from(error: registry_cache::Error) -> Self {
        Self::new(Code::RegistryUnavailable).after(LATER).because(error)
    }
}
