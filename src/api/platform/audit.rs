//! The platform's access audit: refusals that belong to no one school, logins, and what platform staff did.

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::access::Platform;
use crate::api::answer::Page;
use crate::api::audit::{Audit, Filter};
use crate::api::document::{Paging, Queries};
use crate::api::error::Result;
use crate::api::resource::cursor::{self, Cursor};
use crate::api::resource::filter::Asked;
use crate::api::school::audit::AuditRecord;
use crate::domain::names::TenantId;
use crate::sql::error::Doing as _;

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

/// What belongs to no one school's audit, newest first
#[utoipa::path(
    get, path = "/platform/audit", tag = "platform", operation_id = "list_platform_audit", params(Paging, PlatformAuditFilter),
    responses((status = 200, description = "A page.", body = Page<AuditRecord>), Queries)
)]
pub(super) async fn list(platform: Platform, asked: Asked<PlatformAuditFilter>) -> Result<Response> {
    platform.does("platform:audit");
    let after = asked.cursor(LIST)?.map(|cursor| Ok::<_, crate::api::error::Error>((cursor.moment()?, cursor.id))).transpose()?;
    let PlatformAuditFilter { tenant_id, user_id: user, action, resource, success, from, until } = asked.filter;
    let filter = Filter { user, action, resource, success, from, until };
    let mut conn = platform.app().master.acquire().await.doing("connecting to the master database")?;
    let found = Audit::list_platform(&mut conn, tenant_id.map(TenantId), &filter, after, asked.limit + 1).await?;
    let records: Vec<AuditRecord> = found.into_iter().map(AuditRecord::from).collect();
    Ok(cursor::page(records, asked.limit, |last| Cursor::at(LIST, last.occurred_at, last.id)).into_response())
}
