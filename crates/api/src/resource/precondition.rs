//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1): nobody's work is overwritten unseen.

use axum::http::{HeaderMap, HeaderName, header};

use crate::answer::ETag;
use crate::error::{Code, Result};

/// What a change demands of the row's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// That the row exists.
    Any,
    /// That it has one of these tags, as they were sent.
    Tags(Vec<String>),
}

impl Demand {
    /// Refuses another version than the one that is demanded. A weak tag, or one that this API did not give out, is like an old one.
    ///
    /// # Errors
    /// [`Code::PreconditionFailed`].
    pub fn admit(&self, version: i64) -> Result<()> {
        match self {
            Self::Tags(tags) if !tags.contains(&ETag(version).text()) => Err(Code::PreconditionFailed.into()),
            Self::Any | Self::Tags(_) => Ok(()),
        }
    }
}

/// The demand of a change, which must make one.
///
/// # Errors
/// [`Code::PreconditionRequired`], or [`Code::Malformed`] for what is no list of tags.
pub fn demanded(headers: &HeaderMap) -> Result<Demand> {
    if !headers.contains_key(header::IF_MATCH) {
        return Err(Code::PreconditionRequired.into());
    }
    let tags = tags(headers, header::IF_MATCH).ok_or(Code::Malformed)?;
    if tags == ["*"] {
        return Ok(Demand::Any);
    }
    let opaque = |tag: &String| tag.trim_start_matches("W/").strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).is_some();
    if !tags.is_empty() && tags.iter().all(opaque) { Ok(Demand::Tags(tags)) } else { Err(Code::Malformed.into()) }
}

/// The demand of a PUT that makes what is not there, and replaces what is there only as it was read.
///
/// # Errors
/// [`Code::PreconditionFailed`], [`Code::PreconditionRequired`] to replace without `If-Match`, [`Code::Malformed`].
pub fn settled(headers: &HeaderMap, current: Option<i64>) -> Result<()> {
    let demand = headers.contains_key(header::IF_MATCH).then(|| demanded(headers)).transpose()?;
    if current.is_some_and(|version| holds_already(headers, ETag(version))) {
        return Err(Code::PreconditionFailed.into());
    }
    match (demand, current) {
        (Some(demand), Some(version)) => demand.admit(version),
        (Some(_), None) => Err(Code::PreconditionFailed.into()),
        (None, Some(_)) => Err(Code::PreconditionRequired.into()),
        (None, None) => Ok(()),
    }
}

/// The caller has this version already.
#[must_use]
pub fn holds_already(headers: &HeaderMap, tag: ETag) -> bool {
    let held = tags(headers, header::IF_NONE_MATCH).unwrap_or_default();
    held.iter().any(|held| held == "*" || held.trim_start_matches("W/") == tag.text())
}

/// The members of a header that may be sent as several lines; none where one is no text. This API's own tags hold no comma.
fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    Some(lines?.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
}

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
        let admits = |text: &str, version| code(demanded(&headers(&[(header::IF_MATCH, text)])).and_then(|demand| demand.admit(version)));
        for text in ["*", "\"7\"", "\"6\", \"7\""] {
            assert_eq!(admits(text, 7), None, "{text}");
        }
        for text in ["\"8\"", "\"07\"", "\"+7\"", "W/\"7\"", "\"x\"", "\"6\", \"8\""] {
            assert_eq!(admits(text, 7), Some(Code::PreconditionFailed), "{text}");
        }
        for text in ["7", "", "\"7", "*, \"7\"", "\""] {
            assert_eq!(admits(text, 7), Some(Code::Malformed), "{text}");
        }
        assert_eq!(code(demanded(&HeaderMap::new())), Some(Code::PreconditionRequired));
    }

    #[test]
    fn a_put_creates_what_is_absent_and_replaces_only_what_was_read() {
        use header::{IF_MATCH, IF_NONE_MATCH};
        let settle = |lines: &[(HeaderName, &str)], current| code(settled(&headers(lines), current));
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
