//! Metrics of one tenant: accounts, children, activities, storage, query performance and uptime of the server.
//!
//! Must not return rows of a school, only counts and times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::names::TenantId;
use postgres::error::Doing as _;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use tenancy::registry_cache::{CachedTenant, State};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::access::{Platform, tenant};
use crate::answer::Data;
use crate::document::ReadsItem;
use crate::error::{Code, Error, Result};
use crate::metrics;
use crate::resource::filter::Id;

/// Metrics of one tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantMetrics {
    /// Number of accounts of the school.
    pub users: UserCounts,
    /// Recent requests of the school, as this replica answered them; null if there were none.
    pub requests: Option<RecentRequests>,
    /// Metrics of the school's database; null if it could not be queried.
    pub database: Option<DatabaseMetrics>,
    /// Reason why the school's database could not be queried; null if it could.
    pub database_missing: Option<Missing>,
    /// Time from requesting a connection to the first answer of the database, in milliseconds; null if the database could not be queried.
    pub response_milliseconds: Option<f64>,
}

/// Recent requests of a tenant.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecentRequests {
    /// Number of requests in the last one to two minutes in which the school sent any, none of them older than ten minutes.
    pub count: u64,
    /// Mean time from the request headers to the response headers, in milliseconds. Failed requests are included.
    pub mean_milliseconds: f64,
}

/// Reason why a school's database could not be queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The database is being created.
    Provisioning,
    /// The school is suspended.
    Suspended,
    /// The platform has closed the database for a while.
    Moving,
    /// The tenant is active, but its row in the registry cannot be used. Only an operator can repair it.
    Unroutable,
    /// The schema is older than this version of the API supports.
    #[serde(rename = "outdated")]
    SchemaTooOld,
    /// No connection was free in time.
    Busy,
    /// The database did not answer in time.
    Slow,
    /// The database cannot be reached.
    Unavailable,
}

/// Number of accounts in the master database.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct UserCounts {
    /// Number of accounts that may sign in.
    pub enabled: i64,
    /// Number of enabled accounts that signed in within the last 30 days.
    pub active: i64,
}

/// Metrics that the school's `PostgreSQL` server reports. Their presence shows that the server can be reached.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct DatabaseMetrics {
    /// Number of children.
    pub children: i64,
    /// Number of activities.
    pub activities: i64,
    /// Number of activities that began within the last 30 days.
    pub activities_recent: i64,
    /// Size of the database on disk, in bytes.
    pub storage_bytes: i64,
    /// Number of sessions connected to the database.
    pub sessions: i32,
    /// Number of transactions that were committed.
    pub committed: i64,
    /// Number of transactions that were rolled back.
    pub rolled_back: i64,
    /// Share of block reads that the buffer cache answered, from 0 to 1; null if no block was read.
    pub cache_hit_ratio: Option<f64>,
    /// Number of deadlocks.
    pub deadlocks: i64,
    /// Time of the last reset of these counters, in RFC 3339 format; null if they were never reset.
    pub counted_since: Option<DateTime<Utc>>,
    /// Time at which the `PostgreSQL` server last started, also after a crash, in RFC 3339 format. It does not tell whether the network was up since
    /// then.
    pub up_since: DateTime<Utc>,
    /// Time since the server last started by the server's clock, in seconds.
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

/// The time limit for all queries: counting the activities of a busy school takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Get the metrics of a tenant
///
/// Counts at the time of the request. If the school is suspended or its server is down, the fields about its database are null and `database_missing` tells
/// why; the other fields are answered all the same. Requires the role `PlatformAdmin`.
#[utoipa::path(get, path = "/platform/tenants/{id}/metrics", tag = "platform", operation_id = "getTenantMetrics", params(("id" = Uuid, Path, description = "Id of the tenant (UUID).")), responses((status = 200, description = "The metrics of the tenant.", body = Data<TenantMetrics>), ReadsItem))]
pub(super) async fn read(platform: Platform, Id(id): Id) -> Result<Data<TenantMetrics>> {
    platform.audit_as("platform:metrics");
    let entry = platform.entry(TenantId(id)).await?;
    let users = sqlx::query_as(USERS).bind(id).fetch_one(&platform.app().master).await.doing("counting a school's users")?;
    let requests = metrics::tenants::recent(entry.tenant)
        .map(|(count, mean)| RecentRequests { count, mean_milliseconds: mean.as_secs_f64() * 1000.0 });
    let measured = timeout(PATIENCE, measure(&platform, Arc::clone(&entry))).await;
    let (database, database_missing, response) = match measured.unwrap_or_else(|_| Err(Code::Timeout.into())) {
        Ok((database, response)) => (Some(database), None, Some(response)),
        Err(error) => (None, Some(Missing::of(&entry, &error).ok_or(error)?), None),
    };
    let response_milliseconds = response.map(|response| response.as_secs_f64() * 1000.0);
    Ok(Data::new(TenantMetrics { users, requests, database, database_missing, response_milliseconds }))
}

/// The metrics of the database, and how long its first answer took.
async fn measure(platform: &Platform, entry: Arc<CachedTenant>) -> Result<(DatabaseMetrics, Duration)> {
    let tenant = tenant::serving(entry)?;
    let started = Instant::now();
    let mut conn = platform.connection(&tenant).await?;
    sqlx::query("SELECT 1").execute(&mut *conn).await?;
    let response = started.elapsed();
    let database: DatabaseMetrics = sqlx::query_as(DATABASE).fetch_one(&mut *conn).await?;
    metrics::tenants::database_bytes(tenant.entry.tenant, u64::try_from(database.storage_bytes).unwrap_or_default());
    conn.finish();
    Ok((database, response))
}

impl Missing {
    /// None for what says nothing of the school's database: a bug, or a fault of the platform. It fails the whole request.
    fn of(entry: &CachedTenant, error: &Error) -> Option<Self> {
        match (entry.state, error.code) {
            (State::Provisioning, _) => Some(Self::Provisioning),
            (State::Suspended, _) | (_, Code::TenantSuspended) => Some(Self::Suspended),
            (State::Moving, _) => Some(Self::Moving),
            (_, Code::TenantUnavailable) => Some(Self::Unroutable),
            (_, Code::SchemaOutdated) => Some(Self::SchemaTooOld),
            (_, Code::PoolExhausted | Code::TooManyRequests) => Some(Self::Busy),
            (_, Code::Timeout) => Some(Self::Slow),
            (_, Code::DatabaseUnavailable) => Some(Self::Unavailable),
            (
                _,
                Code::InvalidTenant
                | Code::TenantMismatch
                | Code::Unauthenticated
                | Code::InvalidCredentials
                | Code::PasswordChangeRequired
                | Code::Forbidden
                | Code::NotFound
                | Code::MethodNotAllowed
                | Code::Malformed
                | Code::Validation
                | Code::TooLarge
                | Code::UriTooLong
                | Code::HeadersTooLarge
                | Code::RequestTimeout
                | Code::UnsupportedMediaType
                | Code::UnsupportedEncoding
                | Code::Conflict
                | Code::PreconditionFailed
                | Code::PreconditionRequired
                | Code::IdempotencyKeyReused
                | Code::RegistryUnavailable
                | Code::IssuerUnavailable
                | Code::Stopping
                | Code::Internal,
            ) => None,
        }
    }
}
