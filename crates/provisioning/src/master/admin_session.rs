//! An admin's session on the master database's server, patient enough to wait for another operator, with the lock that lets one of them work at a time.
//!
//! Must not be used while Schools are reconciled: it is for preparing the master database.

use postgres::error::Doing as _;
use postgres::session;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// One operator prepares a server at a time, and one migrates a master database at a time.
const LOCK: i64 = 0x6463_5f6d_6173_7472;

/// A session that may wait for another operator, and whose time-out does not interrupt the creation of a database.
pub(super) async fn connect_patiently(options: PgConnectOptions, doing: &'static str) -> postgres::Result<PgConnection> {
    session::connect(&options.options([("lock_timeout", "30s"), ("statement_timeout", "5min")]), doing).await
}

/// Held until the session ends, however it ends. Afterwards the time-out for locks is short again: other operators may be waiting for this one.
pub(super) async fn lock(conn: &mut PgConnection, doing: &'static str) -> postgres::Result<()> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *conn).await.doing(doing)?;
    sqlx::raw_sql("SET lock_timeout = '5s'").execute(conn).await.doing(doing).map(|_| ())
}

/// Ends the session. If the server does not hear it, it ends the session by itself.
pub(super) async fn close(conn: PgConnection) {
    let _ = tokio::time::timeout(session::CONNECT_TIMEOUT, conn.close()).await;
}
