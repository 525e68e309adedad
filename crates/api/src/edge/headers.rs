//! What browsers are told about every answer. An API's answer is data: nothing in it may run, be framed, or be kept.

use axum::http::{HeaderMap, HeaderValue, header};

use super::Settings;

const NOTHING: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For the documentation page alone: scripts, styles and calls of our own, the inline styles and embedded pictures of Swagger UI.
const DOCUMENTATION: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PERMISSIONS: &str = "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()";

/// The content security policy of what is at `path`.
pub(super) fn content_policy(path: &str) -> &'static str {
    let in_documentation = path.strip_prefix("/docs").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if in_documentation { DOCUMENTATION } else { NOTHING }
}

/// Sets them on the answer for `path`. A handler's own `Cache-Control` stays.
pub(super) fn secure(headers: &mut HeaderMap, path: &str, settings: &Settings) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, content_policy(path)),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if path.starts_with("/api/") {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if let Some(age) = settings.strict_transport
        && let Ok(value) = HeaderValue::from_str(&format!("max-age={}; includeSubDomains", age.as_secs()))
    {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documentation_page_may_run_scripts() {
        for (path, runs) in [("/docs", true), ("/docs/swagger-ui.css", true), ("/docsx", false), ("/api/v1/docs", false), ("/", false)] {
            assert_eq!(content_policy(path).contains("script-src"), runs, "{path}");
        }
    }
}
