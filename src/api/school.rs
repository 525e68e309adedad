//! The school's work: one file for each resource, and the routes of all of them.

pub mod children;

use utoipa_axum::router::OpenApiRouter;

use super::app::App;
use super::resource::router;

/// Every route of a school's own data, below `/api/v1`.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(router::<children::Children>())
}
