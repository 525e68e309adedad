//! The user, school and permissions of the caller, which every client asks for first.
//!
//! Must not need a permission: a user without any role asks too.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::roles::Grant;
use crate::access::Access;
use crate::access::permission::Oneself;
use crate::answer::Data;
use crate::app::App;
use crate::document::Reads;
use crate::error::Result;

/// The caller: user, school and permissions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyAccess {
    /// Id of the user (UUID).
    pub user_id: Uuid,
    /// Main role of the account; null for a user of an external issuer.
    pub role: Option<String>,
    /// School that the token is for.
    pub school: School,
    /// Permissions of the user in this school, from all roles together.
    pub permissions: Vec<Grant>,
}

/// School of a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct School {
    /// Id of the tenant (UUID).
    pub id: Uuid,
    /// Code of the school, such as `escola-azul`.
    pub code: String,
    /// Name of the school.
    pub name: String,
}

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Get the user, school and permissions of the caller
///
/// Requires a valid token and no permission.
#[utoipa::path(
    get, path = "/me", tag = "me", operation_id = "getMyAccess",
    responses((status = 200, description = "The user, school and permissions of the caller.", body = Data<MyAccess>), Reads)
)]
async fn read(access: Access<Oneself>) -> Result<Data<MyAccess>> {
    let (tenant, principal) = (access.tenant(), access.principal());
    let grants = access.grants().await?;
    let permissions = grants.all().map(|(permission, scope)| Grant { permission: permission.to_owned(), scope }).collect();
    let entry = &tenant.entry;
    Ok(Data::new(MyAccess {
        user_id: principal.user.0,
        role: principal.role.map(|role| role.name().to_owned()),
        school: School { id: entry.tenant.0, code: entry.code.clone(), name: entry.name.clone() },
        permissions,
    }))
}
