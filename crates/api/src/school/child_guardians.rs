//! Routes of the links between children and guardians, one for each pair, under the paths of both.
//!
//! Must not let anybody write them without a permission for the whole school: nobody may link themselves to a child or decide on their own custody.

mod link;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub use self::link::{ChildGuardian, NewChildGuardian, Relation};
use self::link::{REPLACE, SELECT, one};
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
use crate::resource::{precondition, select};

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
