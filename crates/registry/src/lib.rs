//! Reading the master database: which schools exist, where each one's database is, the passwords of accounts, and the keys that only open credentials.
//!
//! Must not hold a key that seals, and must not write tenants: the operator's side of the master database is `provisioning::master`.

pub mod listener;
mod open;
pub mod password;
pub mod refusals;
pub mod route;
pub mod seal;
pub mod tenants;

use std::time::Duration;

use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, PgPool};

pub use self::open::{open, version};
pub use postgres::{Error, Result};

/// Longer than the sessions' `statement_timeout`, so that the server's own time-out comes first unless the server or the network is gone.
pub const ANSWER: Duration = Duration::from_secs(15);

/// Runs one statement on a connection of the pool, within the pool's time to get one and [`ANSWER`].
///
/// # Errors
/// When the statement fails or the answer does not come in time.
pub async fn with_connection<T>(
    pool: &PgPool,
    doing: &'static str,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> postgres::Result<T> {
    with_connection_within(ANSWER, pool, doing, statement).await
}

/// As [`with_connection`], with a shorter time for the answer.
///
/// # Errors
/// As [`with_connection`].
pub async fn with_connection_within<T>(
    limit: Duration,
    pool: &PgPool,
    doing: &'static str,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> postgres::Result<T> {
    let Ok(conn) = tokio::time::timeout(limit, pool.acquire()).await else { return Err(postgres::Error::timed_out(doing)) };
    let mut conn = conn.doing(doing)?;
    if let Ok(answer) = tokio::time::timeout(limit, statement(&mut conn)).await {
        return answer.doing(doing);
    }
    // Not back into the pool, which would wait for its answer without end.
    drop(conn.detach());
    Err(postgres::Error::timed_out(doing))
}
