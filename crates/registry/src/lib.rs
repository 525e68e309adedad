//! The master database as it is read: which schools exist, where each one's database is, and who may sign in.
//!
//! Must not hold a key that seals, nor a right to write tenants: the operator's side of the master database is `provisioning::master`.

pub mod listing;
mod open;
pub mod password;
pub mod route;
pub mod seal;

pub use open::{open, version};
pub use postgres::{Error, Result};

use std::time::Duration;

use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, PgPool};

/// Above the sessions' `statement_timeout`, so that the server speaks first unless it or the network is gone.
pub const ANSWER: Duration = Duration::from_secs(15);

/// One statement on a connection of the pool, within the pool's time to get one and [`ANSWER`].
///
/// # Errors
/// When the statement fails or the answer does not come in time.
pub async fn ask<T>(
    pool: &PgPool,
    doing: &'static str,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> postgres::Result<T> {
    ask_within(ANSWER, pool, doing, statement).await
}

/// As [`ask`], for who cannot wait as long for the answer.
///
/// # Errors
/// As [`ask`].
pub async fn ask_within<T>(
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
    // Never back into the pool, which would wait without end for it to answer.
    drop(conn.detach());
    Err(postgres::Error::timed_out(doing))
}
