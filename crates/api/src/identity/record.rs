//! What stays of a login and everything like it: one row in the master database's audit.
//!
//! Must not hold a password, a token, or the e-mail address of somebody who failed to log in: it may be a password typed into the wrong field.

use chrono::Utc;
use domain::names::TenantId;
use postgres::error::Result;
use sqlx::postgres::PgConnection;
use tenancy::audit::{self, Audit};
use uuid::Uuid;

use super::Origin;
use crate::edge::RequestId;

/// One thing that happened.
pub(super) struct Record<'a> {
    pub(super) action: &'static str,
    pub(super) tenant: Option<Uuid>,
    pub(super) user: Option<Uuid>,
    pub(super) reason: Option<&'a str>,
    pub(super) success: bool,
}

pub(super) const LOGIN: &str = "auth:login";
pub(super) const REFRESH_REUSE: &str = "auth:refresh-reuse";
pub(super) const LOGOUT: &str = "auth:logout";
pub(super) const ME: &str = "auth:me";
pub(super) const PASSWORD: &str = "auth:password";
pub(super) const IMPERSONATE: &str = "auth:impersonate";

impl Record<'_> {
    /// Writes it in the transaction of what it speaks of, and returns what was written.
    pub(super) async fn write(&self, conn: &mut PgConnection, origin: &Origin) -> Result<audit::Record> {
        let record = audit::Record {
            id: Uuid::now_v7(),
            tenant: self.tenant.map(TenantId),
            user: self.user,
            action: self.action.into(),
            resource: origin.path.clone(),
            address: origin.client.map(|client| client.0.to_canonical()),
            at: Utc::now(),
            success: self.success,
            reason: self.reason.map(str::to_owned),
            request_id: origin.request_id.as_ref().map(RequestId::shared),
        };
        Audit::write_platform(conn, &record).await.map(|()| record)
    }
}
