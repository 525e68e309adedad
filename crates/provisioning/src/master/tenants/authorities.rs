//! Emptying the column in which rows of the former release hold their authority's certificates.
//!
//! Must not do it while an API of that release may read it: the registry knows until when.

use registry::with_connection;
use sqlx::postgres::PgPool;

use crate::master::Result;

/// Rows emptied at once. Writers of tenants take turns, and each row is announced.
const ROWS: i32 = 200;

/// Empties the column in some rows, once no API of the former release reads it. To be called again and again; says in how many.
///
/// # Errors
/// When the registry fails.
pub async fn clear_former_authorities(pool: &PgPool) -> Result<i64> {
    let query = sqlx::query_scalar("SELECT registry.clear_former_authorities($1)").bind(ROWS);
    Ok(with_connection(pool, "emptying the former column of authorities", async |conn| query.fetch_one(conn).await).await?)
}
