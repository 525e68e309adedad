//! One access or refusal. Must not keep more than the tables' columns take.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::names::TenantId;
use uuid::Uuid;

/// The most characters of the tables' columns.
const ACTION: usize = 100;
const RESOURCE: usize = 500;

/// Who did what, from where, and whether it was allowed and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Version 7. Writing the same record twice leaves one.
    pub id: Uuid,
    /// The tenant whose data it is. None before it was known.
    pub tenant: Option<TenantId>,
    /// `registry.users.id`. None when nobody was authenticated.
    pub user: Option<Uuid>,
    /// What was done, such as `children.read`. Only the first 100 characters are written.
    pub action: Cow<'static, str>,
    /// The request's path, and `?child_id=` with an id where the request names one child outside its path. Only the first 500 characters are written, and
    /// nothing else of a query string.
    pub resource: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// The time of the request, in microseconds.
    pub at: DateTime<Utc>,
    /// It was allowed and done.
    pub success: bool,
    /// Why platform staff acted for a school, at most 500 characters.
    pub reason: Option<String>,
    /// The id that the request was answered with, at most 64 characters.
    pub request_id: Option<Arc<str>>,
}

impl Record {
    /// What is written of the action; never empty.
    pub(super) fn written_action(&self) -> &str {
        writable(&self.action, ACTION, "unknown")
    }

    /// What is written of the resource; never empty.
    pub(super) fn written_resource(&self) -> &str {
        let path = self.resource.split(['?', '#']).next().unwrap_or_default();
        let written = if names_a_child(&self.resource[path.len()..]) { &self.resource } else { path };
        writable(written, RESOURCE, "/")
    }

    /// The record without what would not be written, so that its size is bounded.
    pub(super) fn bounded(mut self) -> Self {
        // Copied only if it is too long.
        if self.written_resource() != self.resource {
            self.resource = self.written_resource().to_owned();
        }
        if self.written_action() != self.action {
            self.action = Cow::Owned(self.written_action().to_owned());
        }
        self.resource.shrink_to_fit();
        self
    }
}

/// The parameter that names the child that a request is about.
const CHILD: &str = "?child_id=";

/// `path`, with the child that the request names outside it.
#[must_use]
pub fn about_child(path: &str, child: Uuid) -> String {
    format!("{path}{CHILD}{}", child.hyphenated())
}

/// Whether a query string is only the id of a child, as [`about_child`] writes it.
fn names_a_child(query: &str) -> bool {
    let id = query.strip_prefix(CHILD).unwrap_or_default();
    Uuid::try_parse(id).is_ok_and(|parsed| parsed.hyphenated().to_string() == id)
}

/// The first characters up to one that PostgreSQL's `text` cannot hold.
fn writable<'a>(text: &'a str, most: usize, otherwise: &'a str) -> &'a str {
    let text = text.split('\0').next().unwrap_or_default();
    let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
    if end == 0 { otherwise } else { &text[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(action: &'static str, resource: &str) -> Record {
        let (id, at) = (Uuid::now_v7(), Utc::now());
        Record {
            id,
            tenant: None,
            user: None,
            action: action.into(),
            resource: resource.into(),
            address: None,
            at,
            success: true,
            reason: None,
            request_id: None,
        }
    }

    #[test]
    fn a_query_string_never_stays_in_memory() {
        for resource in ["/api/v1/children?name=Ana&token=x", "/api/v1/children#name=Ana", "/api/v1/children\0Ana"] {
            assert_eq!(record("children.list", resource).bounded().resource, "/api/v1/children");
        }
        assert_eq!(record("children.list", "?token=x").bounded().resource, "/");
    }

    #[test]
    fn the_child_that_a_request_is_about_stays_and_nothing_that_looks_like_it() {
        let child = Uuid::from_u128(7);
        let about = about_child("/api/v1/allergies", child);
        assert_eq!(record("health:read", &about).bounded().resource, about);
        for other in [format!("{about}&name=Ana"), "/api/v1/allergies?child_id=Ana".to_owned(), about.replace("?child_id", "?name")] {
            assert_eq!(record("health:read", &other).bounded().resource, "/api/v1/allergies");
        }
    }

    #[test]
    fn what_the_columns_would_refuse_is_cut_at_a_whole_character() {
        let long = record("x", &format!("/{}", "ã".repeat(1000))).bounded();
        assert_eq!((long.resource.chars().count(), long.resource.capacity()), (500, 999));
        let action: &'static str = "á".repeat(200).leak();
        assert_eq!(record(action, "/").bounded().action.chars().count(), 100);
        assert_eq!(record("", "/").bounded().action, "unknown");
        assert_eq!(record("children.read", "/api").bounded().action, Cow::Borrowed("children.read"));
    }
}
