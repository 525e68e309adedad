//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1), so that nobody overwrites a change that they have not read.
//!
//! Must not know any resource.

use axum::http::{HeaderMap, HeaderName, header};

use crate::answer::ETag;
use crate::error::{Code, Result};

/// The version of the row that a change expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Any version (`*`).
    Any,
    /// One of these tags, as this API gave them out.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Refuses another version than the expected one. A tag that this API did not give out counts as an old version.
    ///
    /// # Errors
    /// [`Code::PreconditionFailed`].
    pub fn check(&self, version: i64) -> Result<()> {
        match self {
            Self::Tags(tags) if !tags.contains(&ETag(version).text()) => Err(Code::PreconditionFailed.into()),
            Self::Any | Self::Tags(_) => Ok(()),
        }
    }
}

/// The version that a change expects; every change must name one.
///
/// # Errors
/// [`Code::PreconditionRequired`], or [`Code::Malformed`] for what is no list of tags.
pub fn if_match(headers: &HeaderMap) -> Result<IfMatch> {
    if !headers.contains_key(header::IF_MATCH) {
        return Err(Code::PreconditionRequired.into());
    }
    let tags = tags(headers, header::IF_MATCH).ok_or(Code::Malformed)?;
    if tags == ["*"] {
        return Ok(IfMatch::Any);
    }
    let opaque = |tag: &String| tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).is_some();
    if !tags.is_empty() && tags.iter().all(opaque) { Ok(IfMatch::Tags(tags)) } else { Err(Code::Malformed.into()) }
}

/// Checks a PUT, which creates an absent row without a condition and replaces a present one only with the version that was read.
///
/// # Errors
/// [`Code::PreconditionFailed`], [`Code::PreconditionRequired`] to replace without `If-Match`, [`Code::Malformed`].
pub fn check_put(headers: &HeaderMap, current: Option<i64>) -> Result<()> {
    let if_match = headers.contains_key(header::IF_MATCH).then(|| if_match(headers)).transpose()?;
    if current.is_some_and(|version| caller_has(headers, ETag(version))) {
        return Err(Code::PreconditionFailed.into());
    }
    match (if_match, current) {
        (Some(if_match), Some(version)) => if_match.check(version),
        (Some(_), None) => Err(Code::PreconditionFailed.into()),
        (None, Some(_)) => Err(Code::PreconditionRequired.into()),
        (None, None) => Ok(()),
    }
}

/// Whether the caller has this version already (`If-None-Match`).
#[must_use]
pub fn caller_has(headers: &HeaderMap, tag: ETag) -> bool {
    let held = tags(headers, header::IF_NONE_MATCH).unwrap_or_default();
    held.iter().any(|held| held == "*" || *held == tag.text())
}

/// The members of a header that may be sent as several lines; none where one is no text. This API's own tags hold no comma.
fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    Some(lines?.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|tag| !tag.is_empty()).map(given_out).collect())
}

/// A tag as it was before a proxy that compresses answers changed it: nginx and Cloudflare make it weak, Apache and Jetty add the encoding. These tags are
/// versions of a row, whatever bytes carry it, so nothing is lost.
fn given_out(tag: &str) -> String {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let encoded = tag.strip_suffix('"').and_then(|tag| ENCODINGS.iter().find_map(|encoding| tag.strip_suffix(encoding)));
    encoded.map_or_else(|| tag.to_owned(), |tag| format!("{tag}\""))
}

/// What is added to a tag, the longer first.
const ENCODINGS: [&str; 5] = ["--gzip", "-gzip", "-br", "-zstd", "-deflate"];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn code<T>(result: Result<T>) -> Option<Code> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn a_change_demands_a_version_that_is_compared_as_it_was_given_out() {
        let admits =
            |text: &str, version| code(if_match(&headers(&[(header::IF_MATCH, text)])).and_then(|if_match| if_match.check(version)));
        for text in ["*", "\"7\"", "\"6\", \"7\"", "W/\"7\"", "\"7-gzip\"", "W/\"7--gzip\"", "W/\"6\",\"7-br\""] {
            assert_eq!(admits(text, 7), None, "{text}");
        }
        for text in ["\"8\"", "\"07\"", "\"+7\"", "W/\"8\"", "\"8-gzip\"", "\"7-x\"", "\"-gzip\"", "\"x\"", "\"6\", \"8\""] {
            assert_eq!(admits(text, 7), Some(Code::PreconditionFailed), "{text}");
        }
        for text in ["7", "", "\"7", "*, \"7\"", "\"", "W/W/\"7\"", "w/\"7\"", "W/7", "7-gzip"] {
            assert_eq!(admits(text, 7), Some(Code::Malformed), "{text}");
        }
        assert_eq!(code(if_match(&HeaderMap::new())), Some(Code::PreconditionRequired));
    }

    #[test]
    fn a_put_creates_what_is_absent_and_replaces_only_what_was_read() {
        use header::{IF_MATCH, IF_NONE_MATCH};
        let settle = |lines: &[(HeaderName, &str)], current| code(check_put(&headers(lines), current));
        assert_eq!(settle(&[], None), None);
        assert_eq!(settle(&[], Some(1)), Some(Code::PreconditionRequired));
        assert_eq!(settle(&[(IF_NONE_MATCH, "*")], None), None);
        assert_eq!(settle(&[(IF_NONE_MATCH, "*")], Some(1)), Some(Code::PreconditionFailed));
        assert_eq!(settle(&[(IF_MATCH, "\"1\"")], Some(1)), None);
        assert_eq!(settle(&[(IF_MATCH, "\"1\"")], Some(2)), Some(Code::PreconditionFailed));
        assert_eq!(settle(&[(IF_MATCH, "*")], None), Some(Code::PreconditionFailed));
        assert_eq!(settle(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")], Some(1)), Some(Code::PreconditionFailed));
        assert_eq!(settle(&[(IF_MATCH, "x")], None), Some(Code::Malformed));
    }
}
