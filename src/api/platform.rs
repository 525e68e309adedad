//! The platform's own routes: tenants with state and route, the seed's metrics of each, and its audit. Nothing of what is in a school.

pub mod measures;
pub mod tenants;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;

/// Every route of the platform's staff, below `/api/v1`.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tenants::list)).routes(routes!(tenants::read)).routes(routes!(measures::read))
}
