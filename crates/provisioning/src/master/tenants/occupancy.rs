//! Which servers the tenants of a cluster are on, for placement to count.
//!
//! Must not decide a placement.

use domain::names::{ClusterUid, ServerName, TenantId};
use postgres::error::Doing as _;
use registry::with_connection;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};

use crate::master::{Error, Result};

/// The server that each tenant of this cluster is on or reserved for.
///
/// # Errors
/// When the registry fails.
pub async fn occupancy(pool: &PgPool, cluster: ClusterUid) -> Result<Vec<(TenantId, ServerName)>> {
    let doing = "counting the schools on each server";
    let select = "SELECT id, server FROM registry.tenants WHERE cluster_uid = $1 AND server IS NOT NULL AND NOT is_deleted";
    let rows = with_connection(pool, doing, async |conn| sqlx::query(select).bind(cluster.0).fetch_all(conn).await).await?;
    rows.iter().map(|row| read_occupant(row, doing)).collect()
}

fn read_occupant(row: &PgRow, doing: &'static str) -> Result<(TenantId, ServerName)> {
    let tenant = TenantId(row.try_get("id").doing(doing)?);
    let server: &str = row.try_get("server").doing(doing)?;
    let server = ServerName::parse(server).map_err(|_| Error::Unknown { tenant, column: "server" })?;
    Ok((tenant, server))
}
