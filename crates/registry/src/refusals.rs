//! Schools' logins that the API was refused, told to the operator through the registry: it can find out why, and mend it.
//!
//! Must carry a tenant's id and nothing else. A notification is not kept: one that nobody hears is lost, and the operator finds out by itself later.

use std::time::Duration;

use domain::names::TenantId;

use super::{Result, with_connection_within};

/// The channel; the payload is the tenant's id.
pub const CHANNEL: &str = "refused_logins";

/// Tells that a tenant's own login was refused with the credentials that the registry has now.
///
/// # Errors
/// When the registry fails or does not answer in time.
pub async fn announce(pool: &sqlx::PgPool, tenant: TenantId, limit: Duration) -> Result<()> {
    let query = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(tenant.to_string());
    with_connection_within(limit, pool, "telling of a refused login", async |conn| query.execute(conn).await).await.map(drop)
}
