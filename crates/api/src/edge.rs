//! Everything around a handler: request ids, limits, languages, headers, traces, the envelope of errors, and serving itself.
//!
//! Knows no route and no school; what a handler needs of it are extensions of the request.

mod arriving;
mod cors;
mod envelope;
mod guarded;
mod head;
mod headers;
mod language;
mod observed;
mod request_id;
mod request_permits;
mod retry;
mod serve;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use ipnet::IpNet;

pub use envelope::{Problem, ProblemError, ProblemField};
pub use language::language;
pub use observed::TenantSlot;
pub use request_id::RequestId;
pub use request_permits::RequestPermits;
pub use serve::{Limits, serve};

/// What the layers hold requests to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Origins whose pages may call the API from a browser, exactly as browsers send them (`https://app.example`). None: nobody's.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// For a body to arrive, from the end of its head.
    pub body_timeout: Duration,
    /// For a request as a whole, from its head to the head of its answer. A school's command timeout that is shorter ends a statement first.
    pub request_timeout: Duration,
    /// How many headers.
    pub header_count: usize,
    /// Bytes of all headers together.
    pub header_bytes: usize,
    /// Bytes of path and query.
    pub uri_bytes: usize,
    /// Tells browsers to use nothing but TLS for this long. Only where TLS ends in front of the API.
    pub strict_transport: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            body_bytes: 1024 * 1024,
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(70),
            header_count: 64,
            header_bytes: 16 * 1024,
            uri_bytes: 8 * 1024,
            strict_transport: None,
        }
    }
}

/// `router` with all that surrounds a handler.
///
/// Outermost first: request id, client's address, span, metrics, security headers (`observed`); CORS; envelope, head's bounds, body's bounds, time, panics and
/// the repetition on a fresh route (`guarded`). Few layers, because each costs every request of every route an allocation.
pub fn layered(router: Router, settings: &Settings) -> Router {
    let shared = Arc::new(settings.clone());
    let guarded = router.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(Arc::clone(&shared), guarded::guarded));
    let shared_with = match cors::layer(settings) {
        Some(cors) => guarded.layer(cors),
        None => guarded,
    };
    shared_with.layer(from_fn_with_state(shared, observed::observed))
}
