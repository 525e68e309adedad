//! Impersonation: platform staff get a token to act in a school for 15 minutes, and its audit records their own name and reason.
//!
//! Must not issue a token before its reason is recorded.

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use domain::names::TenantId;
use postgres::error::Doing as _;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Platform;
use crate::answer::Data;
use crate::body::Body;
use crate::document::{Paging, Queries, WritesItem};
use crate::error::{Code, Result};
use crate::identity::Origin;
use crate::resource::cursor::{self, Cursor};
use crate::resource::filter::{Id, ListQuery, Unfiltered};

/// The name of this list in its cursors.
const LIST: &str = "impersonations";

/// Request body that asks for a token to act in a school.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewImpersonation {
    /// Reason for acting in the school. It is kept in the audit, which the school can read.
    #[schema(min_length = 10, max_length = 500, pattern = r"\S")]
    pub reason: String,
}

/// An access token to act in a school.
#[derive(Clone, Serialize, ToSchema)]
pub struct ImpersonationToken {
    /// Access token for the `Authorization` header.
    pub access_token: String,
    /// Type of the token, always `Bearer`.
    pub token_type: &'static str,
    /// Lifetime of the token in seconds. It cannot be renewed.
    pub expires_in: u64,
}

/// Record of an impersonation that platform staff asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Impersonated {
    /// Id of the record (UUID).
    pub id: Uuid,
    /// Id of the tenant (UUID).
    pub tenant_id: Option<Uuid>,
    /// Id of the platform user (UUID).
    pub user_id: Option<Uuid>,
    /// Reason for acting in the school.
    pub reason: Option<String>,
    /// Time of the request, in RFC 3339 format.
    pub occurred_at: DateTime<Utc>,
    /// Whether the token was issued.
    pub success: bool,
}

/// Get a token to act in a school
///
/// The token has the permissions of a school administrator without `roles:update` and `children:erase`, so it cannot give rights to anybody or erase a child.
/// It cannot change which account belongs to a guardian, or who is the guardian of a child, either. The school's own audit has a record of the token, and of
/// every request with it, with the reason. Requires the role `PlatformAdmin`.
#[utoipa::path(
    post, path = "/platform/tenants/{id}/impersonation", tag = "platform", operation_id = "impersonateTenant", params(("id" = Uuid, Path, description = "Id of the tenant (UUID).")),
    request_body = NewImpersonation, responses((status = 200, description = "The access token.", body = Data<ImpersonationToken>), WritesItem)
)]
pub(super) async fn impersonate(
    platform: Platform,
    Id(id): Id,
    origin: Origin,
    body: Body<NewImpersonation>,
) -> Result<Data<ImpersonationToken>> {
    platform.audit_as("platform:impersonate");
    let tenant = platform.app().registry_cache.by_id(TenantId(id)).await?.ok_or(Code::NotFound)?;
    let reason = body.parse()?.reason;
    let minted = platform.app().identity.mint(&platform.principal, tenant.tenant, &reason, &origin).await?;
    // In the school's own audit too, under the same id: where no school is served it goes to the platform's, which has it.
    platform.app().audit.record(minted.record);
    let access_token = minted.token.expose_secret().to_owned();
    Ok(Data::new(ImpersonationToken { access_token, token_type: "Bearer", expires_in: minted.expires_in.as_secs() }))
}

/// List the impersonations
///
/// Returns which platform staff acted in which school and why, newest first, one page at a time. Requires the role `PlatformAdmin`.
#[utoipa::path(
    get, path = "/platform/impersonations", tag = "platform", operation_id = "listImpersonations", params(Paging),
    responses((status = 200, description = "One page of the list.", body = crate::answer::Page<Impersonated>), Queries)
)]
pub(super) async fn list(platform: Platform, list_query: ListQuery<Unfiltered>) -> Result<Response> {
    platform.audit_as("platform:audit");
    let after = list_query.after_moment(LIST)?;
    let select = "
        SELECT id, tenant_id, user_id, reason, occurred_at, success FROM registry.access_audit
        WHERE action = 'auth:impersonate' AND ($1::timestamptz IS NULL OR (occurred_at, id) < ($1, $2)) ORDER BY occurred_at DESC, id DESC LIMIT $3";
    let query = sqlx::query_as(select).bind(after.map(|(at, _)| at)).bind(after.map(|(_, id)| id)).bind(i64::from(list_query.limit) + 1);
    let found: Vec<Impersonated> = query.fetch_all(&platform.app().master).await.doing("reading who acted in schools")?;
    Ok(cursor::page(found, list_query.limit, |last| Cursor::at(LIST, last.occurred_at, last.id)).into_response())
}
