//! What the access audit is told of a request: gathered while it is served, recorded once its outcome is known.
//!
//! Must not hold query strings, bodies or tokens: of all that they name, only the id of one child.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::Uri;
use chrono::{DateTime, Utc};
use domain::names::TenantId;
use tenancy::audit::{Record, about_child};
use uuid::Uuid;

use super::RequestId;
use crate::client::ClientAddress;

/// The longest path that is recorded, in characters: with the id of a child it fits into what is written.
const LONGEST: usize = 450;

/// The parameter of every list that narrows it to one child.
const CHILD: &str = "child_id";

/// What the access audit is to hold of a request.
#[derive(Debug)]
pub struct AuditContext {
    uri: Uri,
    client: ClientAddress,
    request_id: RequestId,
    attempt: Mutex<Attempt>,
}

/// One attempt to do what the request asks for: usually the only one.
#[derive(Clone, Debug)]
struct Attempt {
    /// The record's id, wherever it is written: the school's copy of a record in the master database is the same record.
    id: Uuid,
    at: DateTime<Utc>,
    tenant: Option<TenantId>,
    user: Option<Uuid>,
    action: Option<&'static str>,
    /// The child that the request names outside its path.
    child: Option<Uuid>,
    /// Why platform staff act in a school.
    reason: Option<String>,
    /// The transaction that did the work has written the record.
    recorded: bool,
    /// A transaction outside the school's database has committed the work, whatever becomes of the answer.
    done: bool,
}

impl Attempt {
    fn now() -> Self {
        let (id, at) = (Uuid::now_v7(), Utc::now());
        Self { id, at, tenant: None, user: None, action: None, child: None, reason: None, recorded: false, done: false }
    }
}

impl AuditContext {
    pub(super) fn new(uri: Uri, client: ClientAddress, request_id: RequestId) -> Self {
        Self { uri, client, request_id, attempt: Mutex::new(Attempt::now()) }
    }

    /// Sets who asks for what, as far as it is known by now. Requests that never set an action are not recorded.
    pub fn set(&self, tenant: Option<TenantId>, user: Option<Uuid>, action: &'static str) {
        let mut attempt = self.lock();
        (attempt.tenant, attempt.user, attempt.action) = (tenant, user, Some(action));
    }

    /// Sets which child the request is about, where its body names it.
    pub fn set_child(&self, child: Uuid) {
        self.lock().child = Some(child);
    }

    /// Sets why platform staff act in a school.
    pub fn set_reason(&self, reason: &str) {
        self.lock().reason = Some(reason.to_owned());
    }

    /// The record, if an action is known.
    #[must_use]
    pub fn record(&self, success: bool) -> Option<Record> {
        let Attempt { tenant, user, action, .. } = *self.lock();
        action.map(|action| self.record_of(tenant, user, action, success))
    }

    /// The record with this tenant, user and action.
    #[must_use]
    pub fn record_of(&self, tenant: Option<TenantId>, user: Option<Uuid>, action: &'static str, success: bool) -> Record {
        let Attempt { id, at, child, reason, .. } = self.lock().clone();
        let path = shortened(self.uri.path());
        Record {
            id,
            tenant,
            user,
            action: action.into(),
            resource: child.or_else(|| named_child(&self.uri)).map_or_else(|| path.to_owned(), |child| about_child(path, child)),
            address: Some(self.client.0),
            at,
            success,
            reason,
            request_id: Some(self.request_id.shared()),
        }
    }

    /// The transaction that did the work has written the record: it is not written again.
    pub fn set_recorded(&self) {
        self.lock().recorded = true;
    }

    /// The work committed outside the school's database: the school's copy of the record, written later, says that it succeeded.
    pub fn set_done(&self) {
        self.lock().done = true;
    }

    /// The record of an attempt that ends with this outcome; none if it names no action, or if the transaction that did the work has written the record.
    pub(super) fn unwritten_record(&self, success: bool) -> Option<Record> {
        let Attempt { recorded, done, .. } = *self.lock();
        if recorded { None } else { self.record(success || done) }
    }

    /// Begins another attempt, which has a record of its own.
    pub(super) fn begin_attempt(&self) {
        *self.lock() = Attempt::now();
    }

    fn lock(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `path` without the query, which may hold a name that somebody searched for, and bounded in length.
fn shortened(path: &str) -> &str {
    let end = path.char_indices().map(|(at, _)| at).nth(LONGEST).unwrap_or(path.len());
    &path[..end]
}

/// The child that a query string narrows a list to.
fn named_child(uri: &Uri) -> Option<Uuid> {
    let query = uri.query().filter(|query| query.contains(CHILD))?;
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| (name == CHILD).then(|| Uuid::try_parse(&value).ok()).flatten())
}
