//! Whose databases and logins must be on a server, by the registry.
//!
//! Must not look at the server.

use domain::names::{ClusterUid, DatabaseName, LoginName, ServerName, TenantId};
use postgres::error::Doing as _;
use registry::with_connection;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};

use crate::master::{Error, Result};

/// A tenant whose database was created on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The tenant.
    pub tenant: TenantId,
    /// Its database.
    pub database: DatabaseName,
    /// Its login.
    pub login: LoginName,
}

/// The tenants of a cluster whose databases must be on this server: every one that was ever served and is not deleted.
///
/// # Errors
/// When the registry fails, or a row holds a name that no database can have.
pub async fn occupants(pool: &PgPool, cluster: ClusterUid, server: &ServerName) -> Result<Vec<Occupant>> {
    let doing = "reading the schools on a server";
    let select = "SELECT id, database_name, login FROM registry.tenants
        WHERE cluster_uid = $1 AND server = $2 AND state NOT IN ('provisioning', 'deleted') ORDER BY id";
    let query = sqlx::query(select).bind(cluster.0).bind(server.as_str());
    let rows = with_connection(pool, doing, async |conn| query.fetch_all(conn).await).await?;
    rows.iter().map(|row| read(row, doing)).collect()
}

fn read(row: &PgRow, doing: &'static str) -> Result<Occupant> {
    let tenant = TenantId(row.try_get("id").doing(doing)?);
    let text = |column| row.try_get::<Option<String>, _>(column).doing(doing);
    let database =
        DatabaseName::parse(&text("database_name")?.unwrap_or_default()).map_err(|_| Error::Unknown { tenant, column: "database_name" })?;
    let login = LoginName::parse(&text("login")?.unwrap_or_default()).map_err(|_| Error::Unknown { tenant, column: "login" })?;
    Ok(Occupant { tenant, database, login })
}
