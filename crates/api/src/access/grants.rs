//! Reading what a user may do in a school: from memory if it was read in the last ten seconds, else from the school's own database (decision 21).
//!
//! A change made through this process counts from its commit on; one made through another process within those ten seconds. Must not
//! answer from memory for longer than that.

use std::sync::Arc;

use super::connection::connect;
use super::permission::OWN_PEOPLE_ONLY;
use super::{Access, Permission, Tenant};
use crate::app::App;
use crate::error::Result;
use crate::grants::{Grantee, Grants, Scope};
use crate::identity::{Principal, Role};

impl<P: Permission> Access<P> {
    /// Everything that the user may do in this school.
    ///
    /// # Errors
    /// When the school's database had to be asked and did not answer.
    pub async fn grants(&self) -> Result<Arc<Grants>> {
        of(&self.app, &self.tenant, &self.principal).await
    }
}

/// What this user may do in this school. Platform staff act as the school's own administrators, but give nobody rights and erase nobody. An account that was
/// closed has nothing left, although the school's tables may still name it: another issuer's token can speak for it.
pub(super) async fn of(app: &App, tenant: &Tenant, principal: &Principal) -> Result<Arc<Grants>> {
    let acting = principal.impersonation.is_some();
    let (user, role) = if acting { (None, Some(Role::SchoolAdmin)) } else { (Some(principal.user.0), principal.role) };
    let grantee = Grantee { tenant: tenant.entry.tenant, user, role: role.map(Role::name) };
    let now = app.permissions.now(grantee.tenant);
    if let Some(grants) = app.permissions.get(&grantee, now) {
        return Ok(grants);
    }
    let open = app.identity.is_open(principal).await?;
    let grants = if open { read(app, tenant, &grantee).await? } else { Grants::default() };
    let grants = Arc::new(if acting { grants.without(OWN_PEOPLE_ONLY) } else { grants });
    app.permissions.insert(grantee, now, Arc::clone(&grants));
    Ok(grants)
}

async fn read(app: &App, tenant: &Tenant, grantee: &Grantee) -> Result<Grants> {
    let mut conn = connect(app, tenant).await?;
    let select = "
        SELECT permission_code, bool_or(scope = 'school') FROM app.role_permissions
        WHERE role_code = $2 OR role_code IN (SELECT role_code FROM app.user_roles WHERE user_id = $1) GROUP BY permission_code";
    let rows: Vec<(String, bool)> = sqlx::query_as(select).bind(grantee.user).bind(grantee.role).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(rows.into_iter().map(|(code, all)| (code, if all { Scope::School } else { Scope::Own })).collect())
}
