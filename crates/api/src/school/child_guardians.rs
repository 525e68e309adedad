//! What a guardian is to a child and may do for it: one link for each child and guardian, put where both are known.
//!
//! Only a permission over the whole school writes them: nobody links itself to a child, or decides on its own custody.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::children::Children;
use super::guardians::Guardians;
use crate::access::permission::{GuardiansRead, GuardiansUpdate};
use crate::access::{Access, Permission, WriteTransaction};
use crate::answer::{Data, ETag, tagged};
use crate::app::App;
use crate::body::Body;
use crate::document::{ChangesItem, IfMatchHeader, IfNoneMatchHeader, ReadsItem, RemovesItem};
use crate::error::{Code, Result};
use crate::resource::change::{RowLock, lock};
use crate::resource::filter::{Id, PathParams};
use crate::resource::{Stamp, precondition, select};

/// The link between a child and one of its guardians.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct ChildGuardian {
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Id of the guardian (UUID).
    pub guardian_id: Uuid,
    /// Full name of the guardian.
    pub full_name: String,
    /// Telephone number of the guardian.
    pub phone_number: Option<String>,
    /// Relation of the guardian to the child.
    #[schema(value_type = Relation)]
    pub relation: String,
    /// Whether the guardian has custody of the child.
    pub has_custody: bool,
    /// Whether the guardian may collect the child from school.
    pub may_pick_up: bool,
    /// Last day on which the guardian may collect the child (`YYYY-MM-DD`); null for no end.
    pub pick_up_until: Option<NaiveDate>,
    /// Whether the school calls the guardian in an emergency.
    pub is_emergency_contact: bool,
    /// Order in which the school calls the guardians; the lowest number comes first.
    pub contact_order: i16,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// Relation of a guardian to a child.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Mother.
    Mother,
    /// Father.
    Father,
    /// Grandmother or grandfather.
    Grandparent,
    /// Sister or brother.
    Sibling,
    /// Another relative.
    Relative,
    /// By a court's decision.
    LegalGuardian,
    /// Foster parent.
    FosterParent,
    /// Somebody else whom the parents trust.
    Other,
}

/// Request body that creates or replaces the link between a child and a guardian. Absent fields get their defaults.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChildGuardian {
    /// Relation of the guardian to the child.
    pub relation: Relation,
    /// Whether the guardian has custody of the child. Defaults to false.
    #[serde(default)]
    pub has_custody: bool,
    /// Whether the guardian may collect the child from school. Defaults to false.
    #[serde(default)]
    pub may_pick_up: bool,
    /// Last day on which the guardian may collect the child (`YYYY-MM-DD`); null for no end.
    pub pick_up_until: Option<NaiveDate>,
    /// Whether the school calls the guardian in an emergency. Defaults to false.
    #[serde(default)]
    pub is_emergency_contact: bool,
    /// Order in which the school calls the guardians; the lowest number comes first. Defaults to 1.
    #[serde(default = "first")]
    #[schema(minimum = 1, maximum = 20)]
    pub contact_order: i16,
}

fn first() -> i16 {
    1
}

const SELECT: &str = "
    SELECT t.child_id, t.guardian_id, g.full_name, g.phone_number, t.relation, t.has_custody, t.may_pick_up, t.pick_up_until,
           t.is_emergency_contact, t.contact_order, t.row_version, t.created_at, t.created_by, t.updated_at, t.updated_by
    FROM app.child_guardians t JOIN app.guardians g ON g.id = t.guardian_id AND g.deleted_at IS NULL
    WHERE t.child_id = $1 AND ($2::uuid IS NULL OR t.guardian_id = $2)
    ORDER BY t.contact_order, g.search_name, g.id";

const REPLACE: &str = "
    INSERT INTO app.child_guardians AS t
        (child_id, guardian_id, relation, has_custody, may_pick_up, pick_up_until, is_emergency_contact, contact_order)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8
    ON CONFLICT (child_id, guardian_id) DO UPDATE SET
        (relation, has_custody, may_pick_up, pick_up_until, is_emergency_contact, contact_order) =
        (excluded.relation, excluded.has_custody, excluded.may_pick_up, excluded.pick_up_until, excluded.is_emergency_contact, excluded.contact_order)";

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, put, remove))
}

/// List the guardians of a child
///
/// Returns all guardians of the child in the order in which the school calls them. Requires the permission `guardians:read`.
#[utoipa::path(
    get, path = "/children/{id}/guardians", tag = "child-guardians", operation_id = "listChildGuardians",
    params(("id" = Uuid, Path, description = "Id of the child (UUID).")),
    responses((status = 200, description = "The complete list.", body = Data<Vec<ChildGuardian>>), ReadsItem)
)]
async fn list(access: Access<GuardiansRead>, Id(child): Id) -> Result<Data<Vec<ChildGuardian>>> {
    let mut conn = access.connection().await?;
    select::present::<Children>(&mut conn, child, access.own()).await?;
    let links = sqlx::query_as(SELECT).bind(child).bind(None::<Uuid>).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(Data::new(links))
}

/// Get a guardian of a child
///
/// Returns the link between the child and the guardian. Requires the permission `guardians:read`.
#[utoipa::path(
    get, path = "/children/{id}/guardians/{guardian_id}", tag = "child-guardians", operation_id = "getChildGuardian",
    params(
        ("id" = Uuid, Path, description = "Id of the child (UUID)."),
        ("guardian_id" = Uuid, Path, description = "Id of the guardian (UUID)."),
        IfNoneMatchHeader,
    ),
    responses(
        (status = 200, description = "The record as it is now.", body = Data<ChildGuardian>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
        (status = 304, description = "The version in `If-None-Match` is still current.", headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
        ReadsItem
    )
)]
async fn read(
    access: Access<GuardiansRead>,
    PathParams((child, guardian)): PathParams<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response> {
    let mut conn = access.connection().await?;
    select::present::<Children>(&mut conn, child, access.own()).await?;
    let link = one(&mut conn, child, guardian).await?;
    conn.finish();
    let link = link.ok_or(Code::NotFound)?;
    let tag = ETag(link.stamp.row_version);
    if precondition::caller_has(&headers, tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.value())]).into_response());
    }
    Ok(tagged(StatusCode::OK, tag, link))
}

/// Create or replace the link between a child and a guardian
///
/// Without `If-Match` the request only creates a link that does not exist yet. Requires the permission `guardians:update` for the whole school.
#[utoipa::path(
    put, path = "/children/{id}/guardians/{guardian_id}", tag = "child-guardians", operation_id = "putChildGuardian",
    params(
        ("id" = Uuid, Path, description = "Id of the child (UUID)."),
        ("guardian_id" = Uuid, Path, description = "Id of the guardian (UUID)."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the version to replace, or `*` for any version."),
        ("If-None-Match" = Option<String>, Header, description = "Send `*` to create the link and never replace it."),
    ),
    request_body = NewChildGuardian,
    responses(
        (status = 200, description = "The link was replaced.", body = Data<ChildGuardian>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
        (status = 201, description = "The link was created.", body = Data<ChildGuardian>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."), ("Location" = String, description = "Path of the link that was created."))),
        ChangesItem
    )
)]
async fn put(
    access: Access<GuardiansUpdate>,
    PathParams((child, guardian)): PathParams<(Uuid, Uuid)>,
    headers: HeaderMap,
    body: Body<NewChildGuardian>,
) -> Result<Response> {
    let relation = body.value["relation"].as_str().unwrap_or_default().to_owned();
    let new = body.parse()?;
    let mut tx = begin(&access, child, guardian).await?;
    let before = one(&mut tx, child, guardian).await?;
    precondition::check_put(&headers, before.as_ref().map(|link| link.stamp.row_version))?;
    let replace = sqlx::query(REPLACE).bind(child).bind(guardian).bind(relation).bind(new.has_custody).bind(new.may_pick_up);
    replace.bind(new.pick_up_until).bind(new.is_emergency_contact).bind(new.contact_order).execute(&mut *tx).await?;
    let link = one(&mut tx, child, guardian).await?.ok_or(Code::Internal)?;
    tx.commit().await?;
    let tag = ETag(link.stamp.row_version);
    if before.is_some() {
        return Ok(tagged(StatusCode::OK, tag, link));
    }
    let mut response = tagged(StatusCode::CREATED, tag, link);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/children/{child}/guardians/{guardian}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Delete the link between a child and a guardian
///
/// The guardian itself stays. Requires the permission `guardians:update` for the whole school.
#[utoipa::path(
    delete, path = "/children/{id}/guardians/{guardian_id}", tag = "child-guardians", operation_id = "deleteChildGuardian",
    params(
        ("id" = Uuid, Path, description = "Id of the child (UUID)."),
        ("guardian_id" = Uuid, Path, description = "Id of the guardian (UUID)."),
        IfMatchHeader,
    ),
    responses((status = 204, description = "The link was removed."), RemovesItem)
)]
async fn remove(
    access: Access<GuardiansUpdate>,
    PathParams((child, guardian)): PathParams<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let if_match = precondition::if_match(&headers)?;
    let mut tx = begin(&access, child, guardian).await?;
    let link = one(&mut tx, child, guardian).await?.ok_or(Code::NotFound)?;
    if_match.check(link.stamp.row_version)?;
    let delete = "DELETE FROM app.child_guardians WHERE child_id = $1 AND guardian_id = $2";
    sqlx::query(delete).bind(child).bind(guardian).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A transaction that holds the child and the guardian: who writes the same link takes turns here.
async fn begin<P: Permission>(access: &Access<P>, child: Uuid, guardian: Uuid) -> Result<WriteTransaction> {
    access.require_own_staff()?;
    let mut tx = access.begin_write().await?;
    lock::<Children>(&mut tx, child, None, RowLock::Update).await?;
    lock::<Guardians>(&mut tx, guardian, None, RowLock::Update).await?;
    Ok(tx)
}

async fn one(conn: &mut PgConnection, child: Uuid, guardian: Uuid) -> Result<Option<ChildGuardian>> {
    Ok(sqlx::query_as(SELECT).bind(child).bind(guardian).fetch_optional(conn).await?)
}
