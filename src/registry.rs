//! The master database: which schools exist, where each one's database is, and who may sign in.
//!
//! Must not touch a school's database or Kubernetes. Every write names the School that it is for and changes nothing of another's.

pub mod api_login;
pub mod bootstrap;
mod error;
pub mod listing;
mod open;
pub mod password;
pub mod route;
pub mod seal;
pub mod tenants;
pub mod users;

pub use bootstrap::bootstrap;
pub use error::{Error, Result};
pub use open::{open, version};

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};

use crate::domain::names::{ClusterUid, SchoolUid, TenantId};
use crate::sql;
use crate::sql::error::Doing as _;

/// A tenant and the School object that it is written for; a row of another School is never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The registry's key.
    pub tenant: TenantId,
    /// `metadata.uid` of the School.
    pub school: SchoolUid,
    /// The cluster that the School is in.
    pub cluster: ClusterUid,
}

/// Above the sessions' `statement_timeout`, so that the server speaks first unless it or the network is gone.
const ANSWER: Duration = Duration::from_secs(15);

/// One statement on a connection of the pool, within the pool's time to get one and [`ANSWER`].
async fn ask<T>(
    pool: &PgPool,
    doing: &'static str,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> sql::Result<T> {
    ask_within(ANSWER, pool, doing, statement).await
}

/// As [`ask`], for who cannot wait as long for the answer.
async fn ask_within<T>(
    limit: Duration,
    pool: &PgPool,
    doing: &'static str,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> sql::Result<T> {
    let Ok(conn) = tokio::time::timeout(limit, pool.acquire()).await else { return Err(sql::Error::timed_out(doing)) };
    let mut conn = conn.doing(doing)?;
    if let Ok(answer) = tokio::time::timeout(limit, statement(&mut conn)).await {
        return answer.doing(doing);
    }
    // Never back into the pool, which would wait without end for it to answer.
    drop(conn.detach());
    Err(sql::Error::timed_out(doing))
}
