//! What browsers are told about every answer. An API's answer is data: nothing in it may run, be framed, or be kept.
//!
//! Must not depend on what a handler answered.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Settings;

const NOTHING: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For the documentation page alone: scripts, styles and calls of our own, the inline styles and embedded pictures of Swagger UI.
const DOCUMENTATION: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PERMISSIONS: &str = "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()";

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The headers of an answer, chosen by its path before the handler takes the request.
#[derive(Clone, Copy)]
pub(super) struct SecurityHeaders {
    content_policy: &'static str,
    no_store: bool,
}

impl SecurityHeaders {
    pub(super) fn of(path: &str) -> Self {
        let in_documentation = path.strip_prefix("/docs").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        Self { content_policy: if in_documentation { DOCUMENTATION } else { NOTHING }, no_store: path.starts_with("/api/") }
    }

    /// The value of `Strict-Transport-Security`, if it is to be sent.
    pub(super) fn strict_transport(settings: &Settings) -> Option<HeaderValue> {
        let age = settings.strict_transport?.as_secs();
        HeaderValue::from_str(&format!("max-age={age}; includeSubDomains")).ok()
    }

    /// Sets them. A handler's own `Cache-Control` stays.
    pub(super) fn set(self, headers: &mut HeaderMap, strict_transport: Option<&HeaderValue>) {
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, self.content_policy),
            (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
            (PERMISSIONS_POLICY, PERMISSIONS),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.no_store {
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        if let Some(value) = strict_transport {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documentation_page_may_run_scripts() {
        for (path, runs) in [("/docs", true), ("/docs/swagger-ui.css", true), ("/docsx", false), ("/api/v1/docs", false), ("/", false)] {
            assert_eq!(SecurityHeaders::of(path).content_policy.contains("script-src"), runs, "{path}");
        }
    }
}
