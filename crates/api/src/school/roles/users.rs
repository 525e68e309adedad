//! The roles that a user has in this school beside the main one, which is the master database's to say.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::permission::{RolesRead, RolesUpdate};
use crate::access::{Access, Invalidation};
use crate::answer::Data;
use crate::app::App;
use crate::document::ReadsItem;
use crate::error::{Code, Result};
use crate::identity::UserId;
use crate::resource::filter::{Id, PathParams};

/// A role that a user has beside the main one.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct UserRole {
    /// The role's code.
    pub role: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Who gave it.
    pub created_by: Option<Uuid>,
}

const SELECT: &str = "
    SELECT role_code AS role, created_at, created_by FROM app.user_roles
    WHERE user_id = $1 AND ($2::text IS NULL OR role_code = $2) ORDER BY role_code COLLATE \"C\"";

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, put, remove))
}

/// The roles of a user beside the main one
///
/// Needs the permission `roles:read`. A user of whom this school knows nothing has none.
#[utoipa::path(
    get, path = "/users/{id}/roles", tag = "roles", operation_id = "list_user_roles",
    params(("id" = Uuid, Path, description = "The user.")),
    responses((status = 200, description = "All of them, by code.", body = Data<Vec<UserRole>>), ReadsItem)
)]
async fn list(access: Access<RolesRead>, Id(user): Id) -> Result<Data<Vec<UserRole>>> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let roles = sqlx::query_as(SELECT).bind(user).bind(None::<String>).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(Data::new(roles))
}

/// One role of a user beside the main one
///
/// Needs the permission `roles:read`.
#[utoipa::path(
    get, path = "/users/{id}/roles/{code}", tag = "roles", operation_id = "read_user_role",
    params(("id" = Uuid, Path, description = "The user."), ("code" = String, Path, description = "The role's code.")),
    responses((status = 200, description = "The user has it.", body = Data<UserRole>), ReadsItem)
)]
async fn read(access: Access<RolesRead>, PathParams((user, role)): PathParams<(Uuid, String)>) -> Result<Data<UserRole>> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let found = one(&mut conn, user, &role).await?;
    conn.finish();
    Ok(Data::new(found.ok_or(Code::NotFound)?))
}

/// Gives a user a role
///
/// Needs the permission `roles:update`. The user is an account of the school's own, or, where there is another issuer, one of that issuer's. Given again,
/// nothing changes.
#[utoipa::path(
    put, path = "/users/{id}/roles/{code}", tag = "roles", operation_id = "put_user_role",
    params(("id" = Uuid, Path, description = "The user."), ("code" = String, Path, description = "The role's code.")),
    responses(
        (status = 200, description = "The user had it already.", body = Data<UserRole>),
        (status = 201, description = "Given.", body = Data<UserRole>, headers(("Location" = String))),
        ReadsItem
    )
)]
async fn put(access: Access<RolesUpdate>, PathParams((user, role)): PathParams<(Uuid, String)>) -> Result<Response> {
    access.require_school_scope()?;
    access.app().identity.require_member(UserId(user), access.tenant().entry.tenant).await?;
    let mut tx = access.begin_write().await?;
    let insert = "INSERT INTO app.user_roles (user_id, role_code) SELECT $1, code FROM app.roles WHERE code = $2 ON CONFLICT DO NOTHING";
    let given = sqlx::query(insert).bind(user).bind(&role).execute(&mut *tx).await?.rows_affected() == 1;
    let found = one(&mut tx, user, &role).await?.ok_or(Code::NotFound)?;
    tx.invalidates(Invalidation::Grants);
    tx.commit().await?;
    if !given {
        return Ok(Data::new(found).into_response());
    }
    let location = HeaderValue::from_str(&format!("/api/v1/users/{user}/roles/{role}")).ok();
    let mut response = (StatusCode::CREATED, Data::new(found)).into_response();
    response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
    Ok(response)
}

/// Takes a role from a user
///
/// Needs the permission `roles:update`.
#[utoipa::path(
    delete, path = "/users/{id}/roles/{code}", tag = "roles", operation_id = "remove_user_role",
    params(("id" = Uuid, Path, description = "The user."), ("code" = String, Path, description = "The role's code.")),
    responses((status = 204, description = "Taken."), ReadsItem)
)]
async fn remove(access: Access<RolesUpdate>, PathParams((user, role)): PathParams<(Uuid, String)>) -> Result<StatusCode> {
    access.require_school_scope()?;
    let mut tx = access.begin_write().await?;
    let delete = "DELETE FROM app.user_roles WHERE user_id = $1 AND role_code = $2";
    if sqlx::query(delete).bind(user).bind(&role).execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Code::NotFound.into());
    }
    tx.invalidates(Invalidation::Grants);
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn one(conn: &mut PgConnection, user: Uuid, role: &str) -> Result<Option<UserRole>> {
    Ok(sqlx::query_as(SELECT).bind(user).bind(role).fetch_optional(conn).await?)
}
