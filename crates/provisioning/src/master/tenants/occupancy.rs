//! Which servers the tenants of a cluster are on, for placement to count.
//!
//! Must not decide a placement.

use domain::names::{ClusterUid, ServerName, TenantId};
use postgres::error::Doing as _;
use registry::with_connection;
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use crate::master::Result;

/// Which servers the tenants of a cluster are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Tenants, with the server that each is on or reserved for.
    pub places: Vec<(TenantId, ServerName)>,
    /// Tenants whose row names a server as no server can be named. One such row must not keep everybody else from being counted.
    pub odd: Vec<TenantId>,
}

impl Occupancy {
    /// Every tenant that has a row with a server.
    pub fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.places.iter().map(|(tenant, _)| *tenant).chain(self.odd.iter().copied())
    }
}

/// The server that each tenant of this cluster is on or reserved for.
///
/// # Errors
/// When the registry fails.
pub async fn occupancy(pool: &PgPool, cluster: ClusterUid) -> Result<Occupancy> {
    let doing = "counting the schools on each server";
    let select = "SELECT id, server FROM registry.tenants WHERE cluster_uid = $1 AND server IS NOT NULL AND NOT is_deleted";
    let rows = with_connection(pool, doing, async |conn| sqlx::query(select).bind(cluster.0).fetch_all(conn).await).await?;
    let mut occupancy = Occupancy::default();
    for row in &rows {
        let tenant = TenantId(row.try_get("id").doing(doing)?);
        match ServerName::parse(row.try_get("server").doing(doing)?) {
            Ok(server) => occupancy.places.push((tenant, server)),
            Err(_) => occupancy.odd.push(tenant),
        }
    }
    Ok(occupancy)
}
