//! Allows exactly the configured origins; none by default. Must not allow `*`.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{Settings, request_id};
use crate::idempotency_key;

/// How long a browser may remember the permission.
const MAX_AGE: Duration = Duration::from_hours(1);

const X_TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(idempotency_key::HEADER);

/// The layer, when any origin is allowed. A text that cannot be a header's value matches no browser's origin and is left out.
pub(super) fn layer(settings: &Settings) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        settings.cors_origins.iter().filter(|origin| *origin != "*").filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            X_TENANT_ID,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            IDEMPOTENCY_KEY,
            header::CONTENT_TYPE,
            header::ACCEPT_LANGUAGE,
        ])
        .expose_headers([header::ETAG, header::LOCATION, idempotency_key::REPLAYED, request_id::HEADER, header::RETRY_AFTER])
        .max_age(MAX_AGE);
    Some(layer)
}
