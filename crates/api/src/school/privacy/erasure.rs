//! Erasing a child for good (RGPD, article 17), and the list of what was erased: ids and counts, which name nobody.

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

use crate::access::permission::{AuditRead, ChildrenErase};
use crate::access::{Access, Invalidation};
use crate::answer::{Data, Page};
use crate::app::App;
use crate::body::Body;
use crate::document::{Paging, Queries, WritesItem};
use crate::error::{Code, Error, Field, Result, Text};
use crate::resource::cursor::{self, Cursor};
use crate::resource::filter::{Id, ListQuery, equal};
use crate::resource::idempotency::{self, Idempotent};
use crate::school::day;

/// The name of the list in its cursors.
const LIST: &str = "erasures";

/// That a child was erased.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// The id that the child had; it names nobody any more.
    pub child_id: Uuid,
    /// Why.
    pub reason: String,
    /// How many rows went, by table.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub erased: Json<BTreeMap<String, i64>>,
    /// When.
    pub erased_at: DateTime<Utc>,
    /// By which user.
    pub erased_by: Option<Uuid>,
}

/// That a child was erased, and what is left to be done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Erased {
    /// The erasure.
    #[serde(flatten)]
    pub erasure: Erasure,
    /// The accounts of guardians who were erased with it, unless somebody else of the school signs in with them: `DELETE /users/{id}` for those that are of
    /// no more use.
    pub accounts_left: Vec<Uuid>,
}

/// Why a child is to be erased.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewErasure {
    /// Kept for good: it must not name the child.
    #[schema(min_length = 1, max_length = 1000, pattern = r"\S")]
    pub reason: String,
}

/// Which erasures.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErasureFilter {
    /// Of the child that had this id.
    pub child_id: Option<Uuid>,
    /// At this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase_child)).routes(routes!(list_erasures))
}

/// Erases a child for good
///
/// Needs the permission `children:erase` for the whole school. The child must have been removed before: `CONFLICT` with `not_removed` otherwise. With it
/// go all rows about it, and the guardians of no other child. Their accounts are not the school's database's to erase: `accounts_left` names them.
#[utoipa::path(
    post, path = "/children/{id}/erasure", tag = "privacy", operation_id = "erase_child",
    params(
        ("id" = Uuid, Path, description = "The child."),
        ("idempotency-key" = Option<String>, Header, description = "Sent again, the request is answered as it was the first time."),
    ),
    request_body = NewErasure,
    responses((status = 201, description = "Erased; what went.", body = Data<Erased>), WritesItem)
)]
async fn erase_child(access: Access<ChildrenErase>, Id(id): Id, headers: HeaderMap, body: Body<NewErasure>) -> Result<Response> {
    access.require_school_scope()?;
    let path = format!("/children/{id}/erasure");
    let mut tx = match idempotency::begin(&access, &headers, &path, &body.digest).await? {
        Idempotent::Repeated(repeated) => return Ok(repeated.answer().await),
        Idempotent::First(tx) => tx,
    };
    removed(&mut tx, id).await?;
    let adults = Adult::of(&mut tx, id).await?;
    let erasure = erase(&mut tx, id, &body.parse()?.reason).await?;
    let erased = Adult::erased(&mut tx, adults).await?;
    forget_answers(&mut tx, id, &erased).await?;
    let accounts_left = Adult::accounts(&mut tx, &erased).await?;
    // Any value of the school's may hold the child.
    tx.invalidates(Invalidation::Values);
    tx.created(None, None, &Erased { erasure, accounts_left }).await
}

/// Refuses a child that is in use, and one that is not there. Holds it until the transaction ends.
async fn removed(conn: &mut PgConnection, child: Uuid) -> Result<()> {
    let look = "SELECT deleted_at IS NOT NULL FROM app.children WHERE id = $1 FOR UPDATE";
    match sqlx::query_scalar(look).bind(child).fetch_optional(conn).await? {
        Some(true) => Ok(()),
        Some(false) => {
            let message = Text::new("remova primeiro a criança", "remove the child first");
            Err(Error { fields: vec![Field { field: "id".to_owned(), code: "not_removed", message }], ..Error::new(Code::Conflict) })
        }
        None => Err(Code::NotFound.into()),
    }
}

async fn erase(conn: &mut PgConnection, child: Uuid, reason: &str) -> Result<Erasure> {
    sqlx::query("SELECT app.erase_child($1, $2)").bind(child).bind(reason).execute(&mut *conn).await?;
    let look =
        "SELECT id, child_id, reason, erased, erased_at, erased_by FROM app.erasures WHERE child_id = $1 ORDER BY erased_at DESC LIMIT 1";
    Ok(sqlx::query_as(look).bind(child).fetch_one(conn).await?)
}

/// A guardian of a child that is erased.
#[derive(Clone, Copy, FromRow)]
struct Adult {
    id: Uuid,
    user_id: Option<Uuid>,
}

impl Adult {
    /// The child's guardians, removed ones too. Holds them until the transaction ends.
    async fn of(conn: &mut PgConnection, child: Uuid) -> Result<Vec<Self>> {
        let look = "
            SELECT g.id, g.user_id FROM app.guardians g
            WHERE g.id IN (SELECT cg.guardian_id FROM app.child_guardians cg WHERE cg.child_id = $1) ORDER BY g.id FOR UPDATE";
        Ok(sqlx::query_as(look).bind(child).fetch_all(conn).await?)
    }

    /// Those of them who are no more.
    async fn erased(conn: &mut PgConnection, mut adults: Vec<Self>) -> Result<Vec<Self>> {
        let ids: Vec<Uuid> = adults.iter().map(|adult| adult.id).collect();
        let left: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM app.guardians WHERE id = ANY($1)").bind(ids).fetch_all(conn).await?;
        adults.retain(|adult| !left.contains(&adult.id));
        Ok(adults)
    }

    /// The accounts of these that nobody of the school signs in with any more.
    async fn accounts(conn: &mut PgConnection, erased: &[Self]) -> Result<Vec<Uuid>> {
        let users: Vec<Uuid> = erased.iter().filter_map(|adult| adult.user_id).collect();
        let look = "
            SELECT DISTINCT u FROM unnest($1::uuid[]) AS u
            WHERE NOT EXISTS (SELECT FROM app.guardians g WHERE g.user_id = u AND g.deleted_at IS NULL)
              AND NOT EXISTS (SELECT FROM app.staff s WHERE s.user_id = u AND s.deleted_at IS NULL) ORDER BY u";
        Ok(sqlx::query_scalar(look).bind(users).fetch_all(conn).await?)
    }
}

/// Answers that are kept for repeated requests hold what was erased too. All rows about a child name it; its guardians do not, nor does it name them.
async fn forget_answers(conn: &mut PgConnection, child: Uuid, adults: &[Adult]) -> Result<()> {
    let ids: Vec<String> = adults.iter().map(|adult| adult.id).chain([child]).map(|id| id.hyphenated().to_string()).collect();
    let forget =
        "DELETE FROM app.idempotency_keys WHERE EXISTS (SELECT FROM unnest($1::text[]) AS id WHERE position(id IN response::text) > 0)";
    sqlx::query(forget).bind(ids).execute(conn).await?;
    Ok(())
}

/// Who was erased
///
/// Needs the permission `audit:read` for the whole school. Newest first.
#[utoipa::path(
    get, path = "/erasures", tag = "privacy", operation_id = "list_erasures", params(Paging, ErasureFilter),
    responses((status = 200, description = "A page.", body = Page<Erasure>), Queries)
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
