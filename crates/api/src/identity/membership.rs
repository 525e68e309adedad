//! Whether an id may stand for a user of a school: where rights are written down for somebody, they must be for one of the school's own people.

use domain::names::TenantId;
use postgres::error::Doing as _;

use super::{Identity, UserId, unavailable, within};
use crate::error::{Code, Result};

impl Identity {
    /// Refuses an id that is no account of this school's: another school's, the platform's, one that has been removed. An id that is no account at all
    /// may be another issuer's user, if there is such an issuer: nobody here knows its users before they come.
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
}
