//! The API's connections to the master database: a small pool of sessions of the API's own login, and the version of the schema there.
//!
//! Must not create, alter or write anything: the operator prepares the master database.

use std::time::Duration;

use postgres::session::{self, Purpose};
use postgres::url::Target;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};

use super::{Result, with_connection};

const POOL_SIZE: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// How old a session with a standby must be before it is replaced.
const STANDBY_RECHECK: Duration = Duration::from_secs(5);

/// A bounded pool for a login that is a member of `dailycare_api`. It connects on first use, so that an API can start, and wait, while the master database
/// is down.
#[must_use]
pub fn open(target: &Target) -> PgPool {
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry);
    let pool = PgPoolOptions::new().max_connections(POOL_SIZE).acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(IDLE_TIMEOUT);
    // In the place of the driver's own test, which finds only dead sessions.
    let pool = pool.test_before_acquire(false).before_acquire(|conn, session| Box::pin(may_be_used(conn, session.age)));
    pool.connect_lazy_with(options)
}

/// A dead session may not, nor one that leads to a standby, as after a switch-over: a new one asks for the address anew. Not more often than that can help: a
/// standby still answers reads.
async fn may_be_used(conn: &mut PgConnection, age: Duration) -> Result<bool, sqlx::Error> {
    let rows = sqlx::raw_sql("SELECT pg_is_in_recovery()::text").fetch_all(conn).await?;
    let in_recovery: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?;
    Ok(in_recovery.as_deref() == Some("false") || age < STANDBY_RECHECK)
}

/// The last migration that the master database has applied.
///
/// # Errors
/// When the registry fails, or was never prepared.
pub async fn version(pool: &PgPool) -> Result<u32> {
    let select = "SELECT coalesce(max(version), 0) FROM registry.schema_migrations";
    let version: i32 =
        with_connection(pool, "reading the registry's schema version", async |conn| sqlx::query_scalar(select).fetch_one(conn).await)
            .await?;
    // The table's CHECK keeps versions positive.
    Ok(u32::try_from(version).unwrap_or_default())
}
