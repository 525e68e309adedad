//! Databases that every role may enter, and closing those of them that are the server's own maintenance databases.
//!
//! Must not close a database that is not one of those.

use postgres::quote::Ident;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::server::{OWNER, Result, send};

/// Revokes PUBLIC's rights on the maintenance databases where the admin may, and returns the names of all databases that stay open.
///
/// # Errors
/// When the catalog cannot be read or a right cannot be revoked.
pub async fn close_maintenance_databases(conn: &mut PgConnection) -> Result<Vec<String>> {
    let doing = "closing the maintenance databases";
    for database in open(conn).await? {
        if database.maintenance && database.may_close {
            send::send(conn, format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", Ident(&database.name)), doing).await?;
        }
    }
    Ok(open(conn).await?.into_iter().map(|database| database.name).collect())
}

/// A database that PUBLIC has rights on.
pub(super) struct Open {
    pub(super) name: String,
    pub(super) maintenance: bool,
    /// The admin may revoke such a right: the owner granted it, and the admin acts as the owner. What others granted only they can revoke.
    pub(super) may_close: bool,
}

/// Databases that PUBLIC has rights on, without the tenants': [`crate::server::catalog::observe`] judges those one by one.
pub(super) async fn open(conn: &mut PgConnection) -> Result<Vec<Open>> {
    let doing = "observing open databases";
    let query = "SELECT datname::text AS name, datname IN ('postgres', 'template1', current_database()) AS maintenance,
            pg_has_role(datdba, 'USAGE') AND by_owner AS may_close
        FROM pg_database d, LATERAL (SELECT count(*) > 0 AS open, bool_or(grantor = datdba) AS by_owner
            FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0) public
        WHERE datallowconn AND pg_get_userbyid(datdba) <> $1 AND open ORDER BY 1";
    let read = async {
        let rows = sqlx::query(query).bind(OWNER).fetch_all(conn).await?;
        let open = |row: &PgRow| {
            Ok(Open { name: row.try_get("name")?, maintenance: row.try_get("maintenance")?, may_close: row.try_get("may_close")? })
        };
        rows.iter().map(open).collect::<Result<_, _>>()
    };
    send::answer(doing, read).await
}
