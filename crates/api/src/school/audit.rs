//! Reads the audit of a school: accesses and refusals.
//!
//! Must not write: `access` and the audit queue do.

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenancy::audit::{Audit, Filter, Record};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Access;
use crate::access::permission::AuditRead;
use crate::answer::Page;
use crate::app::App;
use crate::document::{Paging, Queries};
use crate::error::Result;
use crate::resource::cursor::{self, Cursor};
use crate::resource::filter::ListQuery;

/// The name of this list in its cursors.
const LIST: &str = "audit";

/// A record of the audit: an access or a refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Id of the audit record (UUID).
    pub id: Uuid,
    /// Id of the user who made the request (UUID); null if nobody was authenticated.
    pub user_id: Option<Uuid>,
    /// Permission that the request needed, such as `children:read`, or the name of another action.
    pub action: String,
    /// Path of the request. Of a query string or body it has only `?child_id=` with the id of the child, if the request names one child in them.
    pub resource: String,
    /// IP address that the request came from.
    pub ip_address: Option<String>,
    /// Time of the request, in RFC 3339 format.
    pub occurred_at: DateTime<Utc>,
    /// Whether the request was allowed and succeeded.
    pub success: bool,
    /// Id of the request, as in the `X-Request-Id` header of its answer; null in old records and for actions that were no request.
    pub request_id: Option<String>,
    /// Reason that platform staff gave for acting in the school; null for all other users.
    pub reason: Option<String>,
}

impl From<Record> for AuditRecord {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            user_id: record.user,
            action: record.action.into_owned(),
            resource: record.resource,
            ip_address: record.address.map(|address| address.to_string()),
            occurred_at: record.at,
            success: record.success,
            request_id: record.request_id.map(|id| id.to_string()),
            reason: record.reason,
        }
    }
}

/// Filters of the list of audit records.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Only records of this user.
    pub user_id: Option<Uuid>,
    /// Only records whose action begins with this text, such as `children:` or `children:read`.
    #[param(max_length = 100)]
    pub action: Option<String>,
    /// Only records whose path begins with this text. The path of a record also finds accesses to everything below it.
    #[param(max_length = 500)]
    pub resource: Option<String>,
    /// Only requests that succeeded if true, only refused or failed ones if false.
    pub success: Option<bool>,
    /// Only records at or after this time (RFC 3339).
    pub from: Option<DateTime<Utc>>,
    /// Only records before this time (RFC 3339).
    pub until: Option<DateTime<Utc>>,
}

/// The route.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_audit))
}

/// List the audit records of the school
///
/// Returns accesses and refusals, newest first, one page at a time. Requires the permission `audit:read` for the whole school.
#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "listAuditRecords", params(Paging, AuditFilter),
    responses((status = 200, description = "One page of the list.", body = Page<AuditRecord>), Queries)
)]
async fn list_audit(access: Access<AuditRead>, list_query: ListQuery<AuditFilter>) -> Result<Response> {
    // Audit records belong to no child, so a permission over own records reaches none.
    access.require_school_scope()?;
    let after = list_query.after_moment(LIST)?;
    let AuditFilter { user_id: user, action, resource, success, from, until } = list_query.filter;
    let filter = Filter { user, action, resource, success, from, until };
    let mut conn = access.connection().await?;
    let found = Audit::list(&mut conn, &filter, after, list_query.limit + 1).await?;
    conn.finish();
    let records: Vec<AuditRecord> = found.into_iter().map(AuditRecord::from).collect();
    Ok(cursor::page(records, list_query.limit, |last| Cursor::at(LIST, last.occurred_at, last.id)).into_response())
}
