//! Everything around a handler: request ids, limits, languages, headers, traces, the audit record, the envelope of errors, and serving itself.
//!
//! What a handler needs of it is in the request's [`RequestContext`]. Must not know any route or school.

mod audit_context;
mod audit_on_drop;
mod body_bounds;
mod connection_limits;
mod context;
mod cors;
mod envelope;
mod head_bounds;
mod language;
mod measurement;
mod proxy_warning;
mod request_id;
mod request_permits;
mod response_permits;
mod security_headers;
mod serve;
mod service;
mod settings;
mod socket;
mod trace_parent;

use axum::Router;
use tenancy::audit::Audit;

pub use audit_context::AuditContext;
pub use connection_limits::Limits;
pub use context::RequestContext;
pub use language::language;
pub use request_id::RequestId;
pub use request_permits::RequestPermits;
pub use serve::serve;
pub use settings::Settings;

use self::service::EdgeLayer;

/// `router` with all that surrounds a handler. Every request that names an action is recorded in `audit`, if there is one.
pub fn layered(router: Router, settings: &Settings, audit: Option<Audit>) -> Router {
    router.layer(EdgeLayer::new(settings, audit))
}
