//! The seed's six measures of a tenant: active users, children, activities, storage, query performance, database uptime. Counts, never rows.

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::api::access::Platform;
use crate::api::answer::Data;
use crate::api::document::ReadsItem;
use crate::api::error::Result;
use crate::api::resource::filter::Id;
use crate::domain::names::TenantId;
use crate::sql::error::Doing as _;
use crate::telemetry::metrics::api as metrics;

/// A tenant in numbers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantMetrics {
    /// Users of the school.
    pub users: UserCounts,
    /// What is in its database.
    pub database: DatabaseMeasures,
    /// From asking for a connection to its first answer, in milliseconds: what a request waits for the database at least.
    pub response_milliseconds: f64,
}

/// Accounts in the master database.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct UserCounts {
    /// That may sign in.
    pub enabled: i64,
    /// That did in the last 30 days.
    pub active: i64,
}

/// What the school's own server tells of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct DatabaseMeasures {
    /// Children registered.
    pub children: i64,
    /// Activities recorded.
    pub activities: i64,
    /// Of them in the last 30 days.
    pub activities_recent: i64,
    /// Bytes on disk.
    pub storage_bytes: i64,
    /// Sessions in it now.
    pub sessions: i32,
    /// Transactions that were committed.
    pub committed: i64,
    /// Transactions that were not.
    pub rolled_back: i64,
    /// Of the blocks that were read, the share that was in memory; none when none was read.
    pub cache_hit_ratio: Option<f64>,
    /// Deadlocks.
    pub deadlocks: i64,
    /// When the counters began, if they ever were reset.
    pub counted_since: Option<DateTime<Utc>>,
    /// When the server started.
    pub up_since: DateTime<Utc>,
    /// For how many seconds it has been up.
    pub uptime_seconds: i64,
}

const USERS: &str = "
    SELECT count(*) FILTER (WHERE is_active) AS enabled, count(*) FILTER (WHERE is_active AND last_login_at > now() - interval '30 days') AS active
    FROM registry.users WHERE tenant_id = $1 AND NOT is_deleted";

const DATABASE: &str = "
    SELECT (SELECT count(*) FROM app.children WHERE deleted_at IS NULL) AS children,
           (SELECT count(*) FROM app.activities WHERE deleted_at IS NULL) AS activities,
           (SELECT count(*) FROM app.activities WHERE deleted_at IS NULL AND started_at > now() - interval '30 days') AS activities_recent,
           pg_database_size(current_database()) AS storage_bytes, d.numbackends AS sessions, d.xact_commit AS committed, d.xact_rollback AS rolled_back,
           d.blks_hit::float8 / nullif(d.blks_hit + d.blks_read, 0) AS cache_hit_ratio, d.deadlocks, d.stats_reset AS counted_since,
           pg_postmaster_start_time() AS up_since, extract(epoch FROM now() - pg_postmaster_start_time())::bigint AS uptime_seconds
    FROM pg_stat_database d WHERE d.datname = current_database()";

/// A tenant in numbers, counted when asked.
#[utoipa::path(get, path = "/platform/tenants/{id}/metrics", tag = "platform", operation_id = "read_tenant_metrics", params(("id" = Uuid, Path)), responses((status = 200, body = Data<TenantMetrics>), ReadsItem))]
pub(super) async fn read(platform: Platform, Id(id): Id) -> Result<Data<TenantMetrics>> {
    platform.does("platform:metrics");
    let tenant = platform.tenant(TenantId(id)).await?;
    let users = sqlx::query_as(USERS).bind(id).fetch_one(&platform.app().master).await.doing("counting a school's users")?;
    let started = Instant::now();
    let mut conn = platform.connection(&tenant).await?;
    sqlx::query("SELECT 1").execute(&mut *conn).await?;
    let response_milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let database: DatabaseMeasures = sqlx::query_as(DATABASE).fetch_one(&mut *conn).await?;
    metrics::tenant_database_bytes(tenant.entry.tenant, u64::try_from(database.storage_bytes).unwrap_or_default());
    conn.finish();
    Ok(Data::new(TenantMetrics { users, database, response_milliseconds }))
}
