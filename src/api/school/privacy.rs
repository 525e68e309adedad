//! What a guardian may demand under the RGPD: everything that is kept about a child, and that nothing is kept any more.

pub mod erasure;
pub mod export;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::app::App;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export::export_child)).routes(routes!(erasure::erase_child)).routes(routes!(erasure::list_erasures))
}
