//! The resources of a school, one file for each, and their routes.
//!
//! What resources have in common is in `resource`. Must not hold anything of the platform.

pub mod activities;
pub mod allergies;
pub mod audit;
mod bodies;
pub mod child_guardians;
pub mod children;
pub mod classes;
mod column_enum;
pub mod daily_report;
mod day;
pub mod enrolments;
pub mod guardians;
pub mod incidents;
pub mod me;
pub mod medication_administrations;
pub mod medications;
mod period;
pub mod privacy;
pub mod roles;
pub mod settings;
pub mod staff;
pub mod staff_assignments;
pub mod vaccinations;

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
        .merge(router::<activities::Activities>())
        .merge(activities::batch::routes())
        .merge(router::<allergies::Allergies>())
        .merge(router::<medications::Medications>())
        .merge(router::<medication_administrations::MedicationAdministrations>())
        .merge(router::<vaccinations::Vaccinations>())
        .merge(router::<incidents::Incidents>())
        .merge(daily_report::routes())
        .merge(privacy::routes())
        .merge(audit::routes())
}
