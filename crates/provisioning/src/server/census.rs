//! Counting everything that belongs to one cluster on a server. Changes nothing.
//!
//! Must not judge what it counts.

use domain::names::ClusterUid;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::ownership::{DatabaseComment, LoginComment, OwnershipComment as _};
use super::{Result, send, sql};

/// Everything of one cluster on a server, by its ownership comments: for the server's status and for finding leaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Databases and their ownership comments.
    pub databases: Vec<(String, DatabaseComment)>,
    /// Logins and their ownership comments.
    pub logins: Vec<(String, LoginComment)>,
    /// Staged databases of any digest.
    pub spares: u32,
}

/// Finds every database and login that has an ownership comment of `cluster`, whatever its name.
///
/// # Errors
/// When the catalogs cannot be read.
pub async fn take(conn: &mut PgConnection, cluster: ClusterUid) -> Result<Census> {
    let doing = "counting databases and logins";
    let query = format!(
        "SELECT 'd' AS kind, datname::text AS name, shobj_description(oid, 'pg_database') AS comment, {} AS spare FROM pg_database
         UNION ALL SELECT 'r', rolname::text, shobj_description(oid, 'pg_authid'), false FROM pg_roles ORDER BY 1, 2",
        sql::is_spare("pg_database")
    );
    let read = async {
        let mut census = Census::default();
        for row in sqlx::query(AssertSqlSafe(query)).fetch_all(conn).await? {
            let (name, comment): (String, Option<String>) = (row.try_get("name")?, row.try_get("comment")?);
            census.spares += u32::from(row.try_get::<bool, _>("spare")?);
            if row.try_get::<&str, _>("kind")? == "d" {
                census
                    .databases
                    .extend(DatabaseComment::parse(comment.as_deref()).filter(|owner| owner.cluster == cluster).map(|owner| (name, owner)));
            } else {
                census
                    .logins
                    .extend(LoginComment::parse(comment.as_deref()).filter(|owner| owner.cluster == cluster).map(|owner| (name, owner)));
            }
        }
        Ok(census)
    };
    send::answer(doing, read).await
}
