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
use crate::document::{ChangesItem, ReadsItem, RemovesItem};
use crate::error::{Code, Result};
use crate::resource::change::{RowLock, lock};
use crate::resource::filter::{Id, PathParams};
use crate::resource::{Stamp, precondition, select};

/// A guardian of a child.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct ChildGuardian {
    /// The child.
    pub child_id: Uuid,
    /// The guardian.
    pub guardian_id: Uuid,
    /// The guardian's name.
    pub full_name: String,
    /// Where to call the guardian.
    pub phone_number: Option<String>,
    /// What the guardian is to the child.
    #[schema(value_type = Relation)]
    pub relation: String,
    /// Has custody of the child.
    pub has_custody: bool,
    /// May collect the child.
    pub may_pick_up: bool,
    /// The last day on which it may; null until that is withdrawn.
    pub pick_up_until: Option<NaiveDate>,
    /// Is called in an emergency.
    pub is_emergency_contact: bool,
    /// Whom to call first.
    pub contact_order: i16,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// What a guardian is to a child.
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

/// What a guardian is to be to a child: the whole link, of which what is absent is as it is at first.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChildGuardian {
    /// What the guardian is to the child.
    pub relation: Relation,
    /// Has custody of the child; false unless said.
    #[serde(default)]
    pub has_custody: bool,
    /// May collect the child; false unless said.
    #[serde(default)]
    pub may_pick_up: bool,
    /// The last day on which it may; null until that is withdrawn.
    pub pick_up_until: Option<NaiveDate>,
    /// Is called in an emergency; false unless said.
    #[serde(default)]
    pub is_emergency_contact: bool,
    /// Whom to call first; 1 unless said.
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

/// The guardians of a child, whom to call first at first
///
/// Needs the permission `guardians:read`.
#[utoipa::path(
    get, path = "/children/{id}/guardians", tag = "child_guardians", operation_id = "list_child_guardians",
    params(("id" = Uuid, Path, description = "The child.")),
    responses((status = 200, description = "All of them.", body = Data<Vec<ChildGuardian>>), ReadsItem)
)]
async fn list(access: Access<GuardiansRead>, Id(child): Id) -> Result<Data<Vec<ChildGuardian>>> {
    let mut conn = access.connection().await?;
    select::present::<Children>(&mut conn, child, access.own()).await?;
    let links = sqlx::query_as(SELECT).bind(child).bind(None::<Uuid>).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(Data::new(links))
}

/// What one guardian is to a child
///
/// Needs the permission `guardians:read`.
#[utoipa::path(
    get, path = "/children/{id}/guardians/{guardian_id}", tag = "child_guardians", operation_id = "read_child_guardian",
    params(
        ("id" = Uuid, Path, description = "The child."),
        ("guardian_id" = Uuid, Path, description = "The guardian."),
        ("If-None-Match" = Option<String>, Header, description = "The version that the caller has."),
    ),
    responses(
        (status = 200, description = "As it is now.", body = Data<ChildGuardian>, headers(("ETag" = String, description = "The link's version, for `If-Match`."))),
        (status = 304, description = "Not changed since `If-None-Match`.", headers(("ETag" = String, description = "The link's version, for `If-Match`."))),
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

/// Makes somebody a guardian of a child, or says anew what it is to the child
///
/// Needs the permission `guardians:update` over the whole school. Without `If-Match` only what is not there yet is made.
#[utoipa::path(
    put, path = "/children/{id}/guardians/{guardian_id}", tag = "child_guardians", operation_id = "put_child_guardian",
    params(
        ("id" = Uuid, Path, description = "The child."),
        ("guardian_id" = Uuid, Path, description = "The guardian."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read, or `*`: to replace."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: to make and never to replace."),
    ),
    request_body = NewChildGuardian,
    responses(
        (status = 200, description = "Replaced.", body = Data<ChildGuardian>, headers(("ETag" = String, description = "The link's version, for `If-Match`."))),
        (status = 201, description = "Made.", body = Data<ChildGuardian>, headers(("ETag" = String, description = "The link's version, for `If-Match`."), ("Location" = String))),
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

/// Ends that somebody is a guardian of a child
///
/// Needs the permission `guardians:update` over the whole school.
#[utoipa::path(
    delete, path = "/children/{id}/guardians/{guardian_id}", tag = "child_guardians", operation_id = "remove_child_guardian",
    params(
        ("id" = Uuid, Path, description = "The child."),
        ("guardian_id" = Uuid, Path, description = "The guardian."),
        ("If-Match" = String, Header, description = "The `ETag` that was read, or `*`."),
    ),
    responses((status = 204, description = "Removed."), RemovesItem)
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
