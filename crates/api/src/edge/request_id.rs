//! The name of one request, in its answer, in the log and in the audit; and the client's own name for it, in the log alone.
//!
//! Must not take a client's id for ours: anybody could make two requests one in the evidence. Must not keep one that could confuse a log.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries it, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a client chose.
const MAX: usize = 64;

/// A request's id: an extension of every request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// A new one; they sort by time.
impl Default for RequestId {
    fn default() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }
}

impl RequestId {
    /// As text: a UUID.
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

/// The client's own id of a request with these headers, if it is a token that no log can be confused by.
pub(super) fn of_client(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(HEADER).iter();
    match (sent.next().and_then(|id| id.to_str().ok()), sent.next()) {
        (Some(id), None) if is_token(id) => Some(id),
        _ => None,
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
            assert_eq!(of_client(&headers), kept.then_some(sent), "{sent}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("b"));
        assert_eq!(of_client(&twice), None);
    }
}
