//! Who asks, where, and what it may do: the first question of every client.

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

/// A user in its school.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Myself {
    /// The user.
    pub user_id: Uuid,
    /// Its main role.
    pub role: Option<String>,
    /// The school.
    pub school: School,
    /// What it may do there, by all its roles.
    pub permissions: Vec<Grant>,
}

/// A user's school.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct School {
    /// Its tenant's id.
    pub id: Uuid,
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
}

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Who asks, where, and what it may do
///
/// Needs no permission.
#[utoipa::path(
    get, path = "/me", tag = "me", operation_id = "read_me",
    responses((status = 200, description = "As it is now.", body = Data<Myself>), Reads)
)]
async fn read(access: Access<Oneself>) -> Result<Data<Myself>> {
    let (tenant, principal) = (access.tenant(), access.principal());
    let grants = access.grants().await?;
    let permissions = grants.all().map(|(permission, scope)| Grant { permission: permission.to_owned(), scope }).collect();
    let entry = &tenant.entry;
    Ok(Data::new(Myself {
        user_id: principal.user.0,
        role: principal.role.map(|role| role.name().to_owned()),
        school: School { id: entry.tenant.0, code: entry.code.clone(), name: entry.name.clone() },
        permissions,
    }))
}
