//! What belongs to one request from its head to the last byte of its answer: one extension, which the edge makes and extractors read.
//!
//! Must not hold a query, a body or a token.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use domain::names::TenantId;
use tracing::Span;

use super::{AuditContext, RequestId, RequestPermits};
use crate::client::ClientAddress;
use crate::error::{Code, Error};

/// One request's own state. Clones share it.
#[derive(Clone, Debug)]
pub struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    client: ClientAddress,
    tenant: OnceLock<TenantId>,
    span: Span,
    permits: RequestPermits,
    audit: AuditContext,
}

impl RequestContext {
    /// For a request to `uri`. The log records of the request belong to `span`, which has a field `tenant`.
    #[must_use]
    pub fn new(id: RequestId, client: ClientAddress, uri: Uri, span: Span) -> Self {
        let audit = AuditContext::new(uri, client, id.clone());
        Self(Arc::new(Inner { id, client, tenant: OnceLock::new(), span, permits: RequestPermits::default(), audit }))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// Who sent it.
    #[must_use]
    pub fn client(&self) -> ClientAddress {
        self.0.client
    }

    /// The permits that it holds until its answer has been sent.
    #[must_use]
    pub fn permits(&self) -> &RequestPermits {
        &self.0.permits
    }

    /// What the access audit is told of it.
    #[must_use]
    pub fn audit(&self) -> &AuditContext {
        &self.0.audit
    }

    /// Tells the log and the metrics which tenant the request is for. The first call counts.
    pub fn set_tenant(&self, tenant: TenantId) {
        if self.0.tenant.set(tenant).is_ok() {
            self.0.span.record("tenant", tracing::field::display(tenant));
        }
    }

    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.0.tenant.get().copied()
    }

    pub(super) fn span(&self) -> &Span {
        &self.0.span
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Error;

    /// Every route is behind the edge: a request without a context is a fault of this program.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Code::Internal.into())
    }
}
