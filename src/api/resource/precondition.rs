//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1): nobody's work is overwritten unseen.

use axum::http::{HeaderMap, header};

use crate::api::answer::ETag;
use crate::api::error::{Code, Result};

/// What a change demands of the row's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// That the row exists.
    Any,
    /// Exactly this one.
    Version(i64),
}

impl Demand {
    /// The version, where one is demanded.
    pub(super) fn version(self) -> Option<i64> {
        match self {
            Self::Any => None,
            Self::Version(version) => Some(version),
        }
    }
}

/// The demand of a change, which must make one.
pub(super) fn demanded(headers: &HeaderMap) -> Result<Demand> {
    let value = headers.get(header::IF_MATCH).ok_or(Code::PreconditionRequired)?;
    let text = value.to_str().map_err(|_| Code::Malformed)?.trim();
    if text == "*" {
        return Ok(Demand::Any);
    }
    // A tag that this API did not give out is like an old one: it does not match.
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or(Code::Malformed)?;
    digits.parse().map(Demand::Version).map_err(|_| Code::PreconditionFailed.into())
}

/// The caller has this version already.
pub(super) fn holds_already(headers: &HeaderMap, tag: ETag) -> bool {
    let held = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    held.flat_map(|text| text.split(',')).map(str::trim).any(|held| held == "*" || held.trim_start_matches("W/") == tag.text())
}
