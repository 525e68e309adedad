//! The platform's access audit: refusals that belong to no one school, logins, what was done to accounts, and what platform staff did.

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

/// The list's name in its cursors.
const LIST: &str = "platform_audit";

/// Which records.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlatformAuditFilter {
    /// Of this tenant, or of platform staff who acted for it.
    tenant_id: Option<Uuid>,
    /// Of this user.
    user_id: Option<Uuid>,
    /// Whose action begins with this.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Whose path begins with this.
    #[param(max_length = 500)]
    resource: Option<String>,
    /// Done, or refused.
    success: Option<bool>,
    /// At this moment or later.
    from: Option<DateTime<Utc>>,
    /// Before this moment.
    until: Option<DateTime<Utc>>,
}

/// An access or a refusal, whoever's.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlatformAuditRecord {
    /// Whose data, or the token's tenant; null when it was nobody's, and when somebody named a school that is not theirs.
    pub tenant_id: Option<Uuid>,
    /// Why platform staff acted for a school; null otherwise.
    pub reason: Option<String>,
    /// What a school's own audit tells of one too.
    #[serde(flatten)]
    pub record: AuditRecord,
}

impl From<Record> for PlatformAuditRecord {
    fn from(mut record: Record) -> Self {
        Self { tenant_id: record.tenant.map(|tenant| tenant.0), reason: record.reason.take(), record: record.into() }
    }
}

/// What belongs to no one school's audit, newest first
#[utoipa::path(
    get, path = "/platform/audit", tag = "platform", operation_id = "list_platform_audit", params(Paging, PlatformAuditFilter),
    responses((status = 200, description = "A page.", body = Page<PlatformAuditRecord>), Queries)
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
