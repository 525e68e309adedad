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
    // Asked before: the function takes a writer's turn even where there is nothing to write.
    let clear = "SELECT CASE WHEN NOT registry.keeps_former_authorities()
            AND EXISTS (SELECT FROM registry.tenants WHERE tls_ca IS NOT NULL AND tls_authority IS NOT NULL)
        THEN registry.clear_former_authorities($1) ELSE 0 END";
    let query = sqlx::query_scalar(clear).bind(ROWS);
    Ok(with_connection(pool, "emptying the former column of authorities", async |conn| query.fetch_one(conn).await).await?)
}
