//! The name of one request, in its answer, in the log and in the audit.
//!
//! Must not take a client's id that could confuse a log.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries it, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a client chose.
const MAX: usize = 64;

/// A request's id: an extension of every request. The client's own when it is a token that no log can be confused by, else a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// A new one; they sort by time.
impl Default for RequestId {
    fn default() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }
}

impl RequestId {
    /// Of a request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut sent = headers.get_all(HEADER).iter();
        match (sent.next().and_then(|id| id.to_str().ok()), sent.next()) {
            (Some(id), None) if is_token(id) => Self(id.into()),
            _ => Self::default(),
        }
    }

    /// As text: letters, digits, `.`, `_` and `-`, 64 at most.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// As the answer's header.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_token(text: &str) -> bool {
    (1..=MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_kept_only_when_no_log_can_be_confused_by_it() {
        let long = "a".repeat(MAX + 1);
        for (sent, kept) in
            [("abc-1.2_X", true), (&long[1..], true), (&long, false), ("", false), ("a b", false), ("a\"b", false), ("a;b", false)]
        {
            let headers = [(HEADER, sent.parse().unwrap())].into_iter().collect();
            assert_eq!(RequestId::of(&headers).as_str() == sent, kept, "{sent}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("b"));
        assert_eq!(RequestId::of(&twice).as_str().len(), 36);
    }
}
