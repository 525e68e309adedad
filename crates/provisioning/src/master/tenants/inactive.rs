//! Taking a tenant out of service: suspended, retained or deleted.
//!
//! Must not change the row of another School or cluster: every statement compares the owner.

use domain::tenant::InactiveState;
use registry::with_connection;
use sqlx::postgres::PgPool;

use super::Change;
use super::observed_row::state_label;
use crate::master::{Result, TenantRef};

/// Takes a tenant out of service. A deleted one can only be deleted again, which changes nothing.
///
/// # Errors
/// When the registry fails.
pub async fn set_state(pool: &PgPool, tenant: TenantRef, to: InactiveState) -> Result<Change> {
    let statement = match to {
        InactiveState::Suspended | InactiveState::Retained => CLOSE,
        InactiveState::Deleted => DELETE,
    };
    let query = sqlx::query(statement).bind(tenant.id.0).bind(tenant.school.0).bind(tenant.cluster.0).bind(state_label(to.into()));
    let doing = "taking a school out of service in the registry";
    Ok(with_connection(pool, doing, async |conn| Change::read(&query.fetch_one(conn).await?)).await?)
}

const CLOSE: &str = "
    WITH ours AS (SELECT FROM registry.tenants WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted),
    changed AS (
        UPDATE registry.tenants SET state = $4, is_active = false
        WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted AND state <> $4 RETURNING id)
    SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed)";

const DELETE: &str = "
    WITH ours AS (SELECT id FROM registry.tenants WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3),
    changed AS (
        UPDATE registry.tenants SET state = $4, is_active = false, is_deleted = true, credentials = NULL, key_id = NULL
        WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND state <> $4 RETURNING id),
    closed AS (
        UPDATE registry.users SET is_deleted = true, is_active = false
        WHERE tenant_id IN (SELECT id FROM ours) AND NOT is_deleted RETURNING id)
    SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed) OR EXISTS (SELECT FROM closed)";
