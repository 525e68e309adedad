//! From an [`Access`] to a connection: for reading, or as a transaction that stamps its rows and writes its own audit record.
//!
//! A stale route is fetched again and tried once more, before anything is asked of the database. Must not check permissions: the [`Access`] did.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _};
use tenancy::audit::Audit;
use tenancy::cache::Key;
use tenancy::pools::{self, Connection};
use tenancy::registry_cache;
use tracing::Instrument as _;

use super::{Access, Permission, Tenant, tenant};
use crate::app::App;
use crate::edge::RequestContext;
use crate::error::{Code, Error, Result};
use crate::identity::UserId;
use crate::metrics::tenants;

impl<P: Permission> Access<P> {
    /// A connection to the school's database, to read with.
    ///
    /// # Errors
    /// When none is free in time, or the database cannot be reached.
    pub async fn connection(&self) -> Result<Connection> {
        connect(&self.app, &self.tenant).await
    }

    /// A transaction whose reads all see the database as it was at one moment.
    ///
    /// # Errors
    /// As [`Access::connection`].
    pub async fn begin_read(&self) -> Result<ReadTransaction> {
        let mut conn = self.connection().await?;
        conn.set_transaction(true);
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(begin).execute(&mut *conn).await.doing("beginning to read")?;
        Ok(ReadTransaction(conn))
    }

    /// A transaction that writes as the request's user.
    ///
    /// # Errors
    /// When none is free in time, or the database cannot be reached.
    pub async fn begin_write(&self) -> Result<WriteTransaction> {
        let conn = self.begin_on_primary().await?;
        let (app, tenant) = (self.app.clone(), self.tenant.entry.tenant);
        Ok(WriteTransaction { conn, context: self.context.clone(), app, tenant, is_audited: false, invalidations: Vec::new() })
    }
}

impl<P: Permission> Access<P> {
    /// A connection with a transaction that may write. After a switch-over pooled sessions may lead to a standby: then the address is asked for anew, once.
    async fn begin_on_primary(&self) -> Result<Connection> {
        let mut conn = self.connection().await?;
        if begin(&mut conn, self.principal.user).await? {
            return Ok(conn);
        }
        if conn.leave_standby() {
            let mut conn = self.connection().await?;
            if begin(&mut conn, self.principal.user).await? {
                return Ok(conn);
            }
        }
        Err(Error::new(Code::DatabaseUnavailable).after(LATER).because(Standby))
    }
}

/// Where a write led, for the log.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the school's database takes no writes: its server is a standby, or read-only")]
struct Standby;

/// A connection to this tenant's database, on a fresh route if the one in memory is stale.
pub(super) async fn connect(app: &App, tenant: &Tenant) -> Result<Connection> {
    let started = Instant::now();
    let connected = connect_or_refetch(app, tenant).await;
    tenants::pool_wait(tenant.entry.tenant, started.elapsed());
    connected
}

async fn connect_or_refetch(app: &App, tenant: &Tenant) -> Result<Connection> {
    let stale = match app.pools.connection(&tenant.target).await {
        Ok(conn) => return Ok(conn),
        Err(error) if matches!(error, pools::Error::Stale | pools::Error::Refused(_) | pools::Error::BreakerOpen { refused: true, .. }) => {
            error
        }
        Err(error) => return Err(error.into()),
    };
    let entry = app.registry_cache.refetch(tenant.entry.tenant).await?.ok_or(Code::InvalidTenant)?;
    // A new epoch explains the stale route. With the same epoch the route is current, and the database is at fault.
    let fresh = tenant::serving(entry)?;
    if fresh.target.epoch == tenant.target.epoch {
        if matches!(stale, pools::Error::Refused(_)) {
            // Somebody changed the password in PostgreSQL: the operator sets it again.
            app.registry_cache.announce_refusal(tenant.entry.tenant).await;
        }
        return Err(stale.into());
    }
    Ok(app.pools.connection(&fresh.target).await?)
}

/// One round trip: the transaction, the user whom its rows are stamped with, and whether it may write. The id is hexadecimal by its type.
async fn begin(conn: &mut Connection, user: UserId) -> Result<bool> {
    let doing = "beginning a transaction";
    conn.set_transaction(true);
    let settings = format!("set_config('app.user_id', '{}', true), current_setting('transaction_read_only')", user.0.hyphenated());
    let statement = format!("BEGIN; SELECT {settings}");
    let rows = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(&mut **conn).await.doing(doing)?;
    let read_only: Option<String> = rows.first().map(|row| row.try_get(1)).transpose().doing(doing)?;
    Ok(read_only.as_deref() == Some("off"))
}

/// A transaction in the school's database. Dropped without [`WriteTransaction::commit`], it is rolled back.
pub struct WriteTransaction {
    conn: Connection,
    context: RequestContext,
    app: App,
    tenant: TenantId,
    /// A statement of it writes its record in the access audit.
    is_audited: bool,
    invalidations: Vec<Invalidation>,
}

/// What a commit makes untrue in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// What the school's users may do.
    Grants,
    /// One value in the cache.
    Value(Key),
    /// Every value in the cache.
    Values,
}

impl WriteTransaction {
    /// Adds what this transaction makes untrue in a cache. [`WriteTransaction::commit`] invalidates it, even if its caller is dropped meanwhile.
    pub fn invalidates(&mut self, invalidation: impl Into<Option<Invalidation>>) {
        self.invalidations.extend(invalidation.into());
    }

    /// Adds this transaction's record in the access audit to a statement that begins with `WITH` and a first query, so that the record needs no round trip
    /// of its own. The statement must be executed before the commit, and no child be named to the audit after it.
    pub fn push_audit(&mut self, statement: &mut QueryBuilder<Postgres>) {
        if self.is_audited {
            return;
        }
        if let Some(record) = self.context.audit().record(true) {
            statement.push(", audited AS (");
            Audit::push_write(statement, &record);
            statement.push(")");
            self.is_audited = true;
        }
    }

    /// Commits it together with its record in the access audit, then invalidates what the caches hold of it. If there is something to invalidate, both run
    /// in a task of their own: otherwise a client that hangs up between the two would leave an old value in the cache.
    ///
    /// # Errors
    /// When the database refuses, or does not answer: then it is unknown whether it committed, and a retry needs the same idempotency key.
    pub async fn commit(mut self) -> Result<()> {
        let (app, tenant, invalidations) = (self.app.clone(), self.tenant, std::mem::take(&mut self.invalidations));
        if invalidations.is_empty() {
            return self.commit_with_audit().await;
        }
        let work = async move {
            let committed = self.commit_with_audit().await;
            // After an error too: the transaction may have committed all the same.
            invalidate(&app, tenant, invalidations).await;
            committed
        };
        tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| Err(Error::new(Code::Internal).because(error)))
    }

    async fn commit_with_audit(mut self) -> Result<()> {
        if let Some(record) = self.context.audit().record(true).filter(|_| !self.is_audited) {
            Audit::write(&mut self.conn, &record).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut *self.conn).await.doing("committing a transaction")?;
        self.conn.set_transaction(false);
        self.context.audit().set_recorded();
        self.conn.finish();
        Ok(())
    }

    /// Rolls it back, so that the connection can be used again at once. A failure to roll back ends the connection.
    pub async fn rollback(mut self) {
        if sqlx::raw_sql("ROLLBACK").execute(&mut *self.conn).await.is_ok() {
            self.conn.set_transaction(false);
            self.conn.finish();
        }
    }
}

async fn invalidate(app: &App, tenant: TenantId, invalidations: Vec<Invalidation>) {
    for invalidation in invalidations {
        match invalidation {
            Invalidation::Grants => app.permissions.invalidate(tenant),
            Invalidation::Value(key) => app.cache.invalidate(tenant, key).await,
            Invalidation::Values => app.cache.invalidate_all(tenant).await,
        }
    }
}

impl Deref for WriteTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

/// A transaction that reads, all of one moment. Dropped without [`ReadTransaction::end`], its connection waits for the server to end it.
pub struct ReadTransaction(Connection);

impl ReadTransaction {
    /// Ends it, so that the connection can be used again at once. A failure to end it ends the connection.
    pub async fn end(mut self) {
        if sqlx::raw_sql("COMMIT").execute(&mut *self.0).await.is_ok() {
            self.0.set_transaction(false);
            self.0.finish();
        }
    }
}

impl Deref for ReadTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for ReadTransaction {
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
            Pool::BreakerOpen { retry_after, .. } => (Code::DatabaseUnavailable, *retry_after),
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
