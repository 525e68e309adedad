//! The additional roles of users in this school. The main role of an account is in the master database.
//!
//! Must not give a role to a user of another school.

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
use crate::resource::stored::StoredMoment;

/// An additional role of a user, beside the main role of the account.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct UserRole {
    /// Code of the role.
    pub role: String,
    /// Time at which the user got the role, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub created_at: DateTime<Utc>,
    /// Id of the user who gave the role (UUID).
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

/// List the additional roles of a user
///
/// Returns the roles that the user has beside the main role of the account, ordered by code. The list is empty for a user whom the school does not know.
/// Requires the permission `roles:read`.
#[utoipa::path(
    get, path = "/users/{id}/roles", tag = "roles", operation_id = "listUserRoles",
    params(("id" = Uuid, Path, description = "Id of the user (UUID).")),
    responses((status = 200, description = "The complete list.", body = Data<Vec<UserRole>>), ReadsItem)
)]
async fn list(access: Access<RolesRead>, Id(user): Id) -> Result<Data<Vec<UserRole>>> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let roles = sqlx::query_as(SELECT).bind(user).bind(None::<String>).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(Data::new(roles))
}

/// Get an additional role of a user
///
/// Tells whether and since when the user has the role. Requires the permission `roles:read`.
#[utoipa::path(
    get, path = "/users/{id}/roles/{code}", tag = "roles", operation_id = "getUserRole",
    params(("id" = Uuid, Path, description = "Id of the user (UUID)."), ("code" = String, Path, description = "Code of the role, such as `Teacher`.")),
    responses((status = 200, description = "The role, which the user has.", body = Data<UserRole>), ReadsItem)
)]
async fn read(access: Access<RolesRead>, PathParams((user, role)): PathParams<(Uuid, String)>) -> Result<Data<UserRole>> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let found = one(&mut conn, user, &role).await?;
    conn.finish();
    Ok(Data::new(found.ok_or(Code::NotFound)?))
}

/// Give a user an additional role
///
/// The user is an account of the school or, if the platform accepts an external issuer, a user of that issuer. If the user has the role already, nothing
/// changes. Requires the permission `roles:update`.
#[utoipa::path(
    put, path = "/users/{id}/roles/{code}", tag = "roles", operation_id = "putUserRole",
    params(("id" = Uuid, Path, description = "Id of the user (UUID)."), ("code" = String, Path, description = "Code of the role, such as `Teacher`.")),
    responses(
        (status = 200, description = "The user had the role already.", body = Data<UserRole>),
        (status = 201, description = "The user was given the role.", body = Data<UserRole>, headers(("Location" = String, description = "Path of the role that was given."))),
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

/// Take an additional role from a user
///
/// The main role of the account does not change. Requires the permission `roles:update`.
#[utoipa::path(
    delete, path = "/users/{id}/roles/{code}", tag = "roles", operation_id = "deleteUserRole",
    params(("id" = Uuid, Path, description = "Id of the user (UUID)."), ("code" = String, Path, description = "Code of the role, such as `Teacher`.")),
    responses((status = 204, description = "The role was taken from the user."), ReadsItem)
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
