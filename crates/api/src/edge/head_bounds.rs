//! A request's head: bounded, and unambiguous where a decision hangs on it.
//!
//! Must not read the body: `body_bounds` does.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::Settings;
use crate::error::{Code, Error, Result};
use crate::idempotency_key;

/// Headers that decide who asks, for whom or under which condition: whoever sends one twice may be read differently by a proxy and by us.
const ONCE: [HeaderName; 9] = [
    HeaderName::from_static("x-tenant-id"),
    HeaderName::from_static(idempotency_key::HEADER),
    header::AUTHORIZATION,
    header::IF_MATCH,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::HOST,
    header::ORIGIN,
];

/// What a header costs beside its name and value: colon, space, line end.
const AROUND_A_HEADER: usize = 4;

/// Whether the head keeps to its bounds.
pub(super) fn check(method: &Method, uri: &Uri, headers: &HeaderMap, settings: &Settings) -> Result<()> {
    if uri.path_and_query().map_or(0, |text| text.as_str().len()) > settings.uri_bytes {
        return Err(Code::UriTooLong.into());
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND_A_HEADER).sum();
    if headers.len() > settings.header_count || bytes > settings.header_bytes {
        return Err(Code::HeadersTooLarge.into());
    }
    if ONCE.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(Code::Malformed.into());
    }
    // CONNECT and TRACE have no meaning here, and proxies do strange things with both.
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Code::MethodNotAllowed.into());
    }
    body(headers, settings.body_bytes_of(uri.path()))
}

fn body(headers: &HeaderMap, most: usize) -> Result<()> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::new(Code::UnsupportedEncoding));
    }
    let announced = headers.get(header::CONTENT_LENGTH).map(length).transpose()?.unwrap_or(0);
    if announced > most { Err(Code::TooLarge.into()) } else { Ok(()) }
}

fn length(value: &HeaderValue) -> Result<usize> {
    value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| Code::Malformed.into())
}
