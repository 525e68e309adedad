//! Reads the platform audit: refusals that belong to no single school, logins, changes of accounts, and actions of platform staff.
//!
//! Must not write audit records.

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use domain::names::TenantId;
use postgres::error::Doing as _;
use serde::{Deserialize, Serialize};
use tenancy::audit::{Audit, Filter, Record};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Platform;
use crate::answer::Page;
use crate::document::{Paging, Queries};
use crate::error::Result;
use crate::resource::cursor::{self, Cursor};
use crate::resource::filter::ListQuery;
use crate::school::audit::AuditRecord;

/// The name of this list in its cursors.
const LIST: &str = "platform_audit";

/// Filters of the platform audit.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlatformAuditFilter {
    /// Only records of this tenant, and of platform staff who acted for it.
    tenant_id: Option<Uuid>,
    /// Only records of this user.
    user_id: Option<Uuid>,
    /// Only records whose action begins with this text, such as `auth:`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Only records whose path begins with this text.
    #[param(max_length = 500)]
    resource: Option<String>,
    /// Only requests that succeeded if true, only refused or failed ones if false.
    success: Option<bool>,
    /// Only records at or after this time (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only records before this time (RFC 3339).
    until: Option<DateTime<Utc>>,
}

/// A record of the platform audit: an access or a refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlatformAuditRecord {
    /// Id of the tenant that the data or the token belongs to (UUID). Null if there is none, and if the request named a school that is not its own.
    pub tenant_id: Option<Uuid>,
    /// Fields that records of a school audit have too.
    #[serde(flatten)]
    pub record: AuditRecord,
}

impl From<Record> for PlatformAuditRecord {
    fn from(record: Record) -> Self {
        Self { tenant_id: record.tenant.map(|tenant| tenant.0), record: record.into() }
    }
}

/// List the audit records of the platform
///
/// Returns what belongs to no single school (failed logins, refused tokens, actions of platform staff) and changes of accounts, newest first, one page at a
/// time. Requires the role `PlatformAdmin`.
#[utoipa::path(
    get, path = "/platform/audit", tag = "platform", operation_id = "listPlatformAuditRecords", params(Paging, PlatformAuditFilter),
    responses((status = 200, description = "One page of the list.", body = Page<PlatformAuditRecord>), Queries)
)]
pub(super) async fn list(platform: Platform, list_query: ListQuery<PlatformAuditFilter>) -> Result<Response> {
    platform.audit_as("platform:audit");
    let after = list_query.after_moment(LIST)?;
    let PlatformAuditFilter { tenant_id, user_id: user, action, resource, success, from, until } = list_query.filter;
    let filter = Filter { user, action, resource, success, from, until };
    let mut conn = platform.app().master.acquire().await.doing("connecting to the master database")?;
    let found = Audit::list_platform(&mut conn, tenant_id.map(TenantId), &filter, after, list_query.limit + 1).await?;
    let records: Vec<PlatformAuditRecord> = found.into_iter().map(PlatformAuditRecord::from).collect();
    Ok(cursor::page(records, list_query.limit, |last| Cursor::at(LIST, last.record.occurred_at, last.record.id)).into_response())
}
