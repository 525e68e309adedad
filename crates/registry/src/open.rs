//! The API's connections to the master database: a small pool of sessions of the API's own login, and the version of the schema there.
//!
//! Must not create, alter or write anything: the operator prepares the master database.

use std::time::Duration;

use postgres::session::{self, Purpose};
use postgres::url::Target;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::{Result, with_connection};

const POOL_SIZE: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// A bounded pool for a login that is a member of `dailycare_api`. It connects on first use, so that an API can start, and wait, while the master database
/// is down.
#[must_use]
pub fn open(target: &Target) -> PgPool {
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry);
    let pool = PgPoolOptions::new().max_connections(POOL_SIZE).acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(IDLE_TIMEOUT);
    pool.connect_lazy_with(options)
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
