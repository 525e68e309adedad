//! Erases a child permanently (GDPR, article 17), and lists what was erased.
//!
//! Must not keep anything that names the child: ids and counts remain.

mod guardians;

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::guardians::ErasedGuardian;
use crate::access::permission::{AuditRead, ChildrenErase};
use crate::access::{Access, Invalidation};
use crate::answer::{Data, Page};
use crate::app::App;
use crate::body::Body;
use crate::document::{IdempotencyKeyHeader, Paging, Queries, WritesItem};
use crate::error::{Code, Error, Result, Text};
use crate::resource::cursor::{self, Cursor};
use crate::resource::filter::{Id, ListQuery, equal};
use crate::resource::idempotency::{self, Idempotent};
use crate::resource::stored::StoredMoment;
use crate::school::day;

/// The name of the list in its cursors.
const LIST: &str = "erasures";

/// Record of the erasure of a child.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct Erasure {
    /// Id of the erasure (UUID).
    pub id: Uuid,
    /// Id that the erased child had (UUID). No remaining record refers to it.
    pub child_id: Uuid,
    /// Reason for the erasure.
    pub reason: String,
    /// Number of rows that were erased, by table.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub erased: Json<BTreeMap<String, i64>>,
    /// Time of the erasure, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub erased_at: DateTime<Utc>,
    /// Id of the user who erased the child (UUID).
    pub erased_by: Option<Uuid>,
}

/// Result of an erasure.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Erased {
    /// Record of the erasure.
    #[serde(flatten)]
    pub erasure: Erasure,
    /// Ids of the accounts that erased guardians signed in with (UUID), without those that another guardian or a staff member uses. Delete those that
    /// are no longer needed with `DELETE /users/{id}`.
    pub accounts_left: Vec<Uuid>,
}

/// Request body that erases a child.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewErasure {
    /// Reason for the erasure. It is kept permanently and must not name the child.
    #[schema(min_length = 1, max_length = 1000, pattern = r"\S")]
    pub reason: String,
}

/// Filters of the list of erasures.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErasureFilter {
    /// Only the erasure of the child that had this id.
    pub child_id: Option<Uuid>,
    /// Only erasures at or after this time (RFC 3339).
    pub from: Option<DateTime<Utc>>,
    /// Only erasures before this time (RFC 3339).
    pub until: Option<DateTime<Utc>>,
}

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase_child)).routes(routes!(list_erasures))
}

/// Erase a child permanently
///
/// Erases the child, all records about it, and its guardians who have no other child. The child must be removed first; otherwise the answer is `CONFLICT` with
/// the field code `not_removed`. The accounts of the guardians are not erased: `accounts_left` lists them. Requires the permission `children:erase` for the
/// whole school.
#[utoipa::path(
    post, path = "/children/{id}/erasure", tag = "privacy", operation_id = "eraseChild",
    params(
        ("id" = Uuid, Path, description = "Id of the child (UUID)."),
        IdempotencyKeyHeader,
    ),
    request_body = NewErasure,
    responses((status = 201, description = "The child was erased.", body = Data<Erased>), WritesItem)
)]
async fn erase_child(access: Access<ChildrenErase>, Id(id): Id, headers: HeaderMap, body: Body<NewErasure>) -> Result<Response> {
    access.require_school_scope()?;
    let path = format!("/children/{id}/erasure");
    let mut tx = match idempotency::begin(&access, &headers, &path, &body.digest).await? {
        Idempotent::Repeated(repeated) => return Ok(repeated.answer().await),
        Idempotent::First(tx) => tx,
    };
    require_removed(&mut tx, id).await?;
    let guardians = ErasedGuardian::of(&mut tx, id).await?;
    let erasure = erase(&mut tx, id, &body.parse()?.reason).await?;
    let erased = ErasedGuardian::erased(&mut tx, guardians).await?;
    forget_answers(&mut tx, id, &erased).await?;
    let accounts_left = ErasedGuardian::accounts(&mut tx, &erased).await?;
    // Any cached value of the school may hold data of the child.
    tx.invalidates(Invalidation::Values);
    tx.created(None, None, &Erased { erasure, accounts_left }).await
}

/// Refuses a child that was not removed, and one that does not exist. Locks its row until the transaction ends.
async fn require_removed(conn: &mut PgConnection, child: Uuid) -> Result<()> {
    let child_lock = "SELECT deleted_at IS NOT NULL FROM app.children WHERE id = $1 FOR UPDATE";
    match sqlx::query_scalar(child_lock).bind(child).fetch_optional(conn).await? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::conflict("id", "not_removed", Text::new("remova primeiro a criança", "remove the child first"))),
        None => Err(Code::NotFound.into()),
    }
}

async fn erase(conn: &mut PgConnection, child: Uuid, reason: &str) -> Result<Erasure> {
    sqlx::query("SELECT app.erase_child($1, $2)").bind(child).bind(reason).execute(&mut *conn).await?;
    let select =
        "SELECT id, child_id, reason, erased, erased_at, erased_by FROM app.erasures WHERE child_id = $1 ORDER BY erased_at DESC LIMIT 1";
    Ok(sqlx::query_as(select).bind(child).fetch_one(conn).await?)
}

/// Deletes the answers stored for repeated requests that hold erased data. Rows about a child contain its id; guardians are found by their own ids.
async fn forget_answers(conn: &mut PgConnection, child: Uuid, guardians: &[ErasedGuardian]) -> Result<()> {
    let ids: Vec<String> = guardians.iter().map(|guardian| guardian.id).chain([child]).map(|id| id.hyphenated().to_string()).collect();
    let forget =
        "DELETE FROM app.idempotency_keys WHERE EXISTS (SELECT FROM unnest($1::text[]) AS id WHERE position(id IN response::text) > 0)";
    sqlx::query(forget).bind(ids).execute(conn).await?;
    Ok(())
}

/// List the erasures
///
/// Returns which children were erased, by id and without names, newest first. Requires the permission `audit:read` for the whole school.
#[utoipa::path(
    get, path = "/erasures", tag = "privacy", operation_id = "listErasures", params(Paging, ErasureFilter),
    responses((status = 200, description = "One page of the list.", body = Page<Erasure>), Queries)
)]
async fn list_erasures(access: Access<AuditRead>, list_query: ListQuery<ErasureFilter>) -> Result<Response> {
    access.require_school_scope()?;
    let ErasureFilter { child_id, from, until } = list_query.filter;
    let mut query =
        QueryBuilder::new("SELECT t.id, t.child_id, t.reason, t.erased, t.erased_at, t.erased_by FROM app.erasures t WHERE true");
    equal(&mut query, "child_id", child_id);
    day::during(&mut query, "t.erased_at", None, from, until);
    if let Some(after) = list_query.cursor(LIST)? {
        query.push(" AND (t.erased_at, t.id) < (").push_bind(after.moment()?).push(", ").push_bind(after.id).push(")");
    }
    query.push(" ORDER BY t.erased_at DESC, t.id DESC LIMIT ").push_bind(i64::from(list_query.limit) + 1);
    let mut conn = access.connection().await?;
    let found: Vec<Erasure> = query.build_query_as().fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(cursor::page(found, list_query.limit, |last| Cursor::at(LIST, last.erased_at, last.id)).into_response())
}
