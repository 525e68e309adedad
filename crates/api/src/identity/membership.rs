//! Checks that an id may be given rights in a school: it must belong to that school's users.
//!
//! Must not know which rights they are.

use domain::names::TenantId;
use postgres::error::Doing as _;

use super::{Identity, Principal, Subject, UserId, unavailable, within};
use crate::error::{Code, Result};

impl Identity {
    /// Refuses an id that is no account of this school's: another school's, the platform's, one that has been removed. An unknown id may be an
    /// external issuer's user, if one is configured.
    ///
    /// # Errors
    /// [`Code::NotFound`]; when the registry does not answer.
    pub async fn require_member(&self, user: UserId, tenant: TenantId) -> Result<()> {
        let select = "SELECT tenant_id IS NOT DISTINCT FROM $2 AND NOT is_deleted FROM registry.users WHERE id = $1";
        let query = sqlx::query_scalar(select).bind(user.0).bind(tenant.0);
        let found: Option<bool> =
            within(async { query.fetch_optional(&self.pool).await.doing("looking whose an account is").map_err(unavailable) }).await?;
        if found.unwrap_or(self.external.is_some()) { Ok(()) } else { Err(Code::NotFound.into()) }
    }

    /// Whether another issuer's user is nobody's account, or an account of the token's school that may sign in. Our own tokens end with their account.
    ///
    /// # Errors
    /// When the registry does not answer: then nobody knows.
    pub(crate) async fn is_open(&self, principal: &Principal) -> Result<bool> {
        let by_account = self.external.as_ref().is_some_and(|external| external.settings.subject == Subject::UserId);
        if principal.role.is_some() || !by_account {
            return Ok(true);
        }
        let select = "SELECT tenant_id IS NOT DISTINCT FROM $2 AND is_active AND NOT is_deleted FROM registry.users WHERE id = $1";
        let query = sqlx::query_scalar(select).bind(principal.user.0).bind(principal.tenant.map(|tenant| tenant.0));
        let found: Option<bool> =
            within(async { query.fetch_optional(&self.pool).await.doing("looking whether an account is open").map_err(unavailable) })
                .await?;
        Ok(found.unwrap_or(true))
    }
}
