//! What a guardian may demand under the RGPD: everything that is kept about a child, and that nothing is kept any more.

pub mod erasure;
pub mod export;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    export::routes().merge(erasure::routes())
}
