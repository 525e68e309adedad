//! Data protection (GDPR): export and erasure of all data about a child.
//!
//! Must not decide when a school may erase: it acts on an explicit request only.

pub mod erasure;
pub mod export;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    export::routes().merge(erasure::routes())
}
