//! Roles, their permissions, and the additional roles of users.
//!
//! Must not let a school lock itself out: its administrators can always change the permissions again.

pub mod matrix;
pub mod users;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Access;
use crate::access::permission::RolesRead;
use crate::answer::Data;
use crate::app::App;
use crate::document::Reads;
use crate::error::Result;
use crate::grants::Scope;

/// A role or a permission, with its titles.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct CodeWithTitle {
    /// Code of the role or permission, for programs.
    pub code: String,
    /// Title for people, in Portuguese.
    pub title_pt: String,
    /// Title for people, in English.
    pub title_en: String,
}

/// A permission and its scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Code of the permission, such as `children:read`.
    #[schema(max_length = 100, pattern = "^[a-z_]+:[a-z_]+$")]
    pub permission: String,
    /// Scope that the permission covers.
    pub scope: Scope,
}

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(roles)).routes(routes!(permissions)).merge(matrix::routes()).merge(users::routes())
}

/// List the roles
///
/// Returns all roles that a user of the school can have, ordered by code. Requires the permission `roles:read`.
#[utoipa::path(
    get, path = "/roles", tag = "roles", operation_id = "listRoles",
    responses((status = 200, description = "The complete list.", body = Data<Vec<CodeWithTitle>>), Reads)
)]
async fn roles(access: Access<RolesRead>) -> Result<Data<Vec<CodeWithTitle>>> {
    titled(&access, "SELECT code, title_pt, title_en FROM app.roles ORDER BY code COLLATE \"C\"").await
}

/// List the permissions
///
/// Returns all permissions that a role can have, ordered by code. Requires the permission `roles:read`.
#[utoipa::path(
    get, path = "/permissions", tag = "roles", operation_id = "listPermissions",
    responses((status = 200, description = "The complete list.", body = Data<Vec<CodeWithTitle>>), Reads)
)]
async fn permissions(access: Access<RolesRead>) -> Result<Data<Vec<CodeWithTitle>>> {
    titled(&access, "SELECT code, title_pt, title_en FROM app.permissions ORDER BY code COLLATE \"C\"").await
}

async fn titled(access: &Access<RolesRead>, select: &'static str) -> Result<Data<Vec<CodeWithTitle>>> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let all = sqlx::query_as(select).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(Data::new(all))
}
