//! The school's access audit, to be read: who did what to which thing, and who was refused.

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

/// The name of the list in its cursors.
const LIST: &str = "audit";

/// An access or a refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Its id.
    pub id: Uuid,
    /// By which user; null when nobody was authenticated.
    pub user_id: Option<Uuid>,
    /// What was asked for: a permission, or what needs none.
    pub action: String,
    /// The path that was asked for, without its query.
    pub resource: String,
    /// Where the request came from.
    pub ip_address: Option<String>,
    /// The request's moment.
    pub occurred_at: DateTime<Utc>,
    /// It was allowed and done.
    pub success: bool,
    /// The `X-Request-Id` of the answer; null in old records, and when it was no request.
    pub request_id: Option<String>,
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
        }
    }
}

/// Which records.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Of this user.
    pub user_id: Option<Uuid>,
    /// Whose action begins with this: `children:` or `children:read`.
    #[param(max_length = 100)]
    pub action: Option<String>,
    /// Whose path begins with this: a thing's finds every access to it and to what is below it.
    #[param(max_length = 500)]
    pub resource: Option<String>,
    /// Done, or refused.
    pub success: Option<bool>,
    /// At this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// The route.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_audit))
}

/// Who did what, and who was refused
///
/// Needs the permission `audit:read` for the whole school. Newest first.
#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "list_audit", params(Paging, AuditFilter),
    responses((status = 200, description = "A page.", body = Page<AuditRecord>), Queries)
)]
async fn list_audit(access: Access<AuditRead>, list_query: ListQuery<AuditFilter>) -> Result<Response> {
    // Records are about users, not about children of whom somebody is a guardian.
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
