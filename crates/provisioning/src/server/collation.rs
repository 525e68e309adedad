//! Schools' databases whose text was sorted by another version of the system's collations than it has now: their text indexes may miss rows.
//!
//! Must not mend them: making indexes again takes as long as it takes, and a person chooses when.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{OWNER, Result, send, sql};

/// The schools' databases of which that is true.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn stale(conn: &mut PgConnection) -> Result<Vec<String>> {
    // What has no version is not asked for the present one, which can be slow.
    let query = format!(
        "SELECT datname::text FROM pg_database d WHERE CASE WHEN datcollversion IS NULL THEN false ELSE NOT ({}) END
             AND pg_get_userbyid(datdba) = $1 AND shobj_description(oid, 'pg_database') IS NOT NULL ORDER BY 1",
        sql::collates_as_now("d")
    );
    let names = sqlx::query_scalar(AssertSqlSafe(query)).bind(OWNER).fetch_all(conn);
    send::answer("comparing versions of collations", names).await
}
