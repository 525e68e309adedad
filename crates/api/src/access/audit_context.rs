//! What the access audit is told of a request: gathered while it is served, recorded once its outcome is known.
//!
//! Must not hold query strings, bodies or tokens.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::names::TenantId;
use tenancy::audit::Record;
use uuid::Uuid;

use crate::app::App;
use crate::client::ClientAddress;
use crate::edge::RequestId;
use crate::identity::UserId;

/// The longest path that is recorded.
const LONGEST: usize = 500;

/// What the access audit is to hold of a request. Clones share it.
#[derive(Clone, Debug)]
pub struct AuditContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The record's, wherever it is written: the school's copy of one in the master database is the same record.
    id: Uuid,
    at: DateTime<Utc>,
    resource: String,
    address: Option<IpAddr>,
    request_id: Option<RequestId>,
    who: Mutex<Who>,
    /// The work's own transaction has written the record.
    recorded: AtomicBool,
    /// A transaction outside the school's database has committed the work, whatever becomes of the answer.
    done: AtomicBool,
}

/// Who asked for what, as far as it is known.
#[derive(Clone, Debug, Default)]
struct Who {
    tenant: Option<TenantId>,
    user: Option<UserId>,
    action: Option<&'static str>,
}

impl AuditContext {
    /// For a request; `path` without its query, which may hold a name that somebody searched for.
    #[must_use]
    pub fn new(path: &str, address: Option<IpAddr>, request_id: Option<RequestId>) -> Self {
        let end = path.char_indices().map(|(at, _)| at).nth(LONGEST).unwrap_or(path.len());
        let resource = path[..end].to_owned();
        let (id, at, who) = (Uuid::now_v7(), Utc::now(), Mutex::default());
        Self(Arc::new(Inner { id, at, resource, address, request_id, who, recorded: AtomicBool::default(), done: AtomicBool::default() }))
    }

    /// Sets who asks for what, as far as it is known by now.
    pub fn set(&self, tenant: Option<TenantId>, user: Option<UserId>, action: &'static str) {
        *self.0.who.lock().unwrap_or_else(PoisonError::into_inner) = Who { tenant, user, action: Some(action) };
    }

    /// The record, if an action is known.
    #[must_use]
    pub fn record(&self, success: bool) -> Option<Record> {
        let Who { tenant, user, action } = self.0.who.lock().unwrap_or_else(PoisonError::into_inner).clone();
        action.map(|action| self.record_of(tenant, user, action, success))
    }

    /// The record with this tenant, user and action.
    pub(super) fn record_of(&self, tenant: Option<TenantId>, user: Option<UserId>, action: &'static str, success: bool) -> Record {
        let Inner { id, at, resource, address, request_id, .. } = &*self.0;
        Record {
            id: *id,
            tenant,
            user: user.map(|user| user.0),
            action: action.into(),
            resource: resource.clone(),
            address: *address,
            at: *at,
            success,
            reason: None,
            request_id: request_id.as_ref().map(RequestId::shared),
        }
    }

    /// The transaction that did the work has written the record: it is not written again.
    pub fn mark_recorded(&self) {
        self.0.recorded.store(true, Ordering::Relaxed);
    }

    /// The work committed outside the school's database: the school's copy of the record, written later, says that it succeeded.
    pub(super) fn mark_done(&self) {
        self.0.done.store(true, Ordering::Relaxed);
    }
}

/// Gives each request its [`AuditContext`] and records it when the request ends. A request that its client gave up counts as failed.
pub async fn follow(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (address, request_id) = (request.extensions().get::<ClientAddress>(), request.extensions().get::<RequestId>());
    let audit = AuditContext::new(request.uri().path(), address.map(|address| address.0), request_id.cloned());
    request.extensions_mut().insert(audit.clone());
    let mut audit_on_drop = AuditOnDrop { app, audit, success: false };
    let response = next.run(request).await;
    audit_on_drop.success = response.status().is_success() || response.status().is_redirection();
    response
}

/// Records the request when it is dropped, so that a cancelled request is recorded too.
struct AuditOnDrop {
    app: App,
    audit: AuditContext,
    success: bool,
}

impl Drop for AuditOnDrop {
    fn drop(&mut self) {
        if !self.audit.0.recorded.load(Ordering::Relaxed)
            && let Some(record) = self.audit.record(self.success || self.audit.0.done.load(Ordering::Relaxed))
        {
            self.app.audit.record(record);
        }
    }
}
