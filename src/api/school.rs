//! The school's work: one file for each resource, and the routes of all of them.

pub mod child_guardians;
pub mod children;
pub mod classes;
pub mod enrolments;
pub mod guardians;
pub mod me;
pub mod roles;
pub mod settings;
pub mod staff;
pub mod staff_assignments;

use utoipa_axum::router::OpenApiRouter;

use super::app::App;
use super::resource::router;

/// Every route of a school's own data, below `/api/v1`.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(router::<children::Children>())
        .merge(router::<guardians::Guardians>())
        .merge(child_guardians::routes())
        .merge(router::<classes::Classes>())
        .merge(router::<enrolments::Enrolments>())
        .merge(router::<staff::Staff>())
        .merge(router::<staff_assignments::StaffAssignments>())
        .merge(settings::routes())
        .merge(roles::routes())
        .merge(me::routes())
}
