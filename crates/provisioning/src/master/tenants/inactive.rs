//! Taking a tenant out of service: suspended, retained or deleted.
//!
//! Must not change the row of another School or cluster: every statement compares the owner.

use domain::tenant::InactiveState;
use registry::with_connection;
use sqlx::postgres::PgPool;

use super::Change;
use super::observed_row::state_label;
use crate::master::{Result, TenantRef};

/// Takes a tenant out of service. A deleted one can only be deleted again, which changes nothing. Deleting erases the accounts; a suspended or retained school
/// keeps them, because it may be served again.
///
/// # Errors
/// When the registry fails.
pub async fn set_state(pool: &PgPool, tenant: TenantRef, to: InactiveState) -> Result<Change> {
    let doing = "taking a school out of service in the registry";
    let (id, school, cluster) = (tenant.id.0, tenant.school.0, tenant.cluster.0);
    let query = match to {
        InactiveState::Suspended | InactiveState::Retained => {
            sqlx::query(CLOSE).bind(id).bind(school).bind(cluster).bind(state_label(to.into()))
        }
        InactiveState::Deleted => sqlx::query(DELETE).bind(id).bind(school).bind(cluster),
    };
    Ok(with_connection(pool, doing, async |conn| Change::read(&query.fetch_one(conn).await?)).await?)
}

const CLOSE: &str = "
    WITH ours AS (SELECT FROM registry.tenants WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted),
    changed AS (
        UPDATE registry.tenants SET state = $4, is_active = false
        WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted AND state <> $4 RETURNING id)
    SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed)";

/// One transaction: the row, and everything personal in it and in the school's accounts. The function says what that is.
const DELETE: &str = "SELECT done IS NOT NULL, coalesce(done, false) FROM registry.delete_tenant($1, $2, $3) AS done";
