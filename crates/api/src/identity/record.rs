//! What stays of a login and everything like it: one row in the master database's audit.
//!
//! Must not hold a password, a token, or the e-mail address of somebody who failed to log in: it may be a password typed into the wrong field.

use postgres::error::{Doing as _, Result};
use sqlx::postgres::PgConnection;
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
pub(super) const PASSWORD: &str = "auth:password";
pub(super) const IMPERSONATE: &str = "auth:impersonate";

impl Record<'_> {
    /// Writes it in the transaction of what it speaks of.
    pub(super) async fn write(&self, conn: &mut PgConnection, origin: &Origin) -> Result<()> {
        let insert = "
            INSERT INTO registry.access_audit (tenant_id, user_id, action, resource, ip_address, reason, success, request_id)
            VALUES ($1, $2, $3, $4, $5::text::inet, $6, $7, $8)";
        let address = origin.client.map(|client| client.0.to_canonical().to_string());
        let query = sqlx::query(insert).bind(self.tenant).bind(self.user).bind(self.action).bind(&origin.path);
        let query = query.bind(address).bind(self.reason).bind(self.success);
        let query = query.bind(origin.request_id.as_ref().map(RequestId::as_str));
        query.execute(conn).await.doing("recording an access").map(|_| ())
    }
}
