//! Routes for platform staff: tenants, metrics of each, the platform audit, and impersonation.
//!
//! Must not return any record of a school.

pub mod audit;
pub mod impersonation;
pub mod tenant_metrics;
pub mod tenants;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;

/// Every route of the platform's staff, below `/api/v1`.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let tenants = OpenApiRouter::new().routes(routes!(tenants::list)).routes(routes!(tenants::read)).routes(routes!(tenant_metrics::read));
    let audit = OpenApiRouter::new().routes(routes!(audit::list)).routes(routes!(impersonation::list));
    tenants.merge(audit).routes(routes!(impersonation::impersonate))
}
