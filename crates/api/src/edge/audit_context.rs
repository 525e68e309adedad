//! What the access audit is told of a request: gathered while it is served, recorded once its outcome is known.
//!
//! Must not hold query strings, bodies or tokens.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::Uri;
use chrono::{DateTime, Utc};
use domain::names::TenantId;
use tenancy::audit::Record;
use uuid::Uuid;

use super::RequestId;
use crate::client::ClientAddress;

/// The longest path that is recorded, in characters.
const LONGEST: usize = 500;

/// What the access audit is to hold of a request.
#[derive(Debug)]
pub struct AuditContext {
    uri: Uri,
    client: ClientAddress,
    request_id: RequestId,
    attempt: Mutex<Attempt>,
}

/// One attempt to do what the request asks for: usually the only one.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// The record's id, wherever it is written: the school's copy of a record in the master database is the same record.
    id: Uuid,
    at: DateTime<Utc>,
    tenant: Option<TenantId>,
    user: Option<Uuid>,
    action: Option<&'static str>,
    /// The transaction that did the work has written the record.
    recorded: bool,
    /// A transaction outside the school's database has committed the work, whatever becomes of the answer.
    done: bool,
}

impl Attempt {
    fn now() -> Self {
        Self { id: Uuid::now_v7(), at: Utc::now(), tenant: None, user: None, action: None, recorded: false, done: false }
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

    /// The record, if an action is known.
    #[must_use]
    pub fn record(&self, success: bool) -> Option<Record> {
        let attempt = *self.lock();
        attempt.action.map(|action| self.record_of(attempt.tenant, attempt.user, action, success))
    }

    /// The record with this tenant, user and action.
    #[must_use]
    pub fn record_of(&self, tenant: Option<TenantId>, user: Option<Uuid>, action: &'static str, success: bool) -> Record {
        let Attempt { id, at, .. } = *self.lock();
        Record {
            id,
            tenant,
            user,
            action: action.into(),
            resource: shortened(self.uri.path()),
            address: Some(self.client.0),
            at,
            success,
            reason: None,
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
fn shortened(path: &str) -> String {
    let end = path.char_indices().map(|(at, _)| at).nth(LONGEST).unwrap_or(path.len());
    path[..end].to_owned()
}
