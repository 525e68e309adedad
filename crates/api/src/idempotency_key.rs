//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), and the header of an answer that was given before.
//!
//! Must not keep keys: `resource::idempotency` keeps those of a school's rows, `accounts` those of accounts.

use axum::http::{HeaderMap, HeaderName};

use super::error::{Code, Result};

/// The request's header.
pub const HEADER: &str = "idempotency-key";

/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The request's key, if it has one.
///
/// # Errors
/// [`Code::Malformed`] for what is no key.
pub fn key(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len())).ok_or(Code::Malformed)?;
    Ok(Some(key))
}
