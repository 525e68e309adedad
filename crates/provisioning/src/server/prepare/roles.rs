//! The server's fixed roles: observing, creating and correcting them.
//!
//! Must not alter a role that lacks our ownership comment.

use domain::server::PasswordForm;
use postgres::error::Doing as _;
use postgres::quote::{Ident, Literal};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool, PgRow};

use super::DesiredRoles;
use crate::server::ownership::{OwnershipComment as _, RoleComment};
use crate::server::password::{self, SentPassword};
use crate::server::session_guard::SessionGuard;
use crate::server::sql::{self, RoleAttributes};
use crate::server::{APP, Error, MIGRATOR, MONITOR, OWNER, Object, Result, send};

/// Creates and corrects the fixed roles, in one transaction.
///
/// # Errors
/// [`Error::NotOurs`] as in [`super::observe`]; [`Error::PasswordRefused`] or [`Error::Unencrypted`] for the migrator; `Denied` when the admin lacks CREATEROLE,
/// or another admin made the roles.
pub async fn prepare_roles(pool: &PgPool, desired: &DesiredRoles<'_>, form: PasswordForm) -> Result<()> {
    password::beyond_a_collision(|| attempt(pool, desired, form)).await
}

async fn attempt(pool: &PgPool, desired: &DesiredRoles<'_>, form: PasswordForm) -> Result<()> {
    let doing = "preparing the server's roles";
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    if !read(&mut conn, desired).await?.complete() {
        send::outcome(&mut conn, format!("BEGIN; {}", sql::block(&sql::lock("roles"))), doing).await?;
        let observed = read(&mut conn, desired).await?;
        for (fixed, observed) in FIXED.iter().zip(&observed.roles) {
            for statements in fixed.corrections(observed.as_ref(), desired) {
                send::send(&mut conn, statements, doing).await?;
            }
        }
        if !read(&mut conn, desired).await?.admin_is_owner {
            send::send(&mut conn, become_owner(), doing).await?;
        }
        let unset = FIXED.iter().zip(&observed.roles).filter(|(fixed, observed)| fixed.lacks_password(observed.as_ref()));
        let unset: Vec<_> = unset.map(|(fixed, _)| fixed).collect();
        commit(&mut conn, &unset, desired, form).await?;
    }
    conn.release();
    Ok(())
}

/// Sets the passwords of these roles, and ends the transaction.
async fn commit(conn: &mut SessionGuard, unset: &[&FixedRole], desired: &DesiredRoles<'_>, form: PasswordForm) -> Result<()> {
    let doing = "preparing the server's roles";
    let password = SentPassword::new(desired.password, form);
    if unset.is_empty() {
        return send::send(conn, "COMMIT".to_owned(), doing).await.map(drop);
    }
    password.protect(conn).await?;
    let set = |fixed: &&FixedRole| sql::set_password(fixed.name, password.text(), &fixed.comment(desired).text());
    let statements: Vec<_> = unset.iter().map(set).collect();
    match send::commit(conn, statements.join("; "), form, doing).await {
        Ok(()) => Ok(()),
        Err(error) => Err(password.refusal(conn, error, MIGRATOR).await),
    }
}

/// A role with a fixed name.
struct FixedRole {
    name: &'static str,
    logs_in: bool,
    member_of: Option<&'static str>,
}

const FIXED: [FixedRole; 4] = [
    FixedRole { name: OWNER, logs_in: false, member_of: None },
    FixedRole { name: APP, logs_in: false, member_of: None },
    FixedRole { name: MONITOR, logs_in: false, member_of: None },
    FixedRole { name: MIGRATOR, logs_in: true, member_of: Some(OWNER) },
];

/// The fixed roles as observed, in the order of [`FIXED`].
pub(super) struct ObservedRoles {
    roles: Vec<Option<ObservedRole>>,
    admin_is_owner: bool,
}

#[derive(Clone, Copy)]
struct ObservedRole {
    /// Attributes, memberships and settings are as desired.
    right: bool,
    /// So is the password.
    password: bool,
}

impl ObservedRoles {
    pub(super) fn complete(&self) -> bool {
        self.admin_is_owner && self.roles.iter().all(|role| role.is_some_and(|role| role.right && role.password))
    }
}

impl FixedRole {
    fn comment(&self, desired: &DesiredRoles<'_>) -> RoleComment {
        let password = self.logs_in.then(|| desired.fingerprint.to_owned());
        RoleComment { cluster: desired.cluster, role: self.name.to_owned(), password }
    }

    /// Statements that bring the role to what is desired but for its password, one message each.
    fn corrections(&self, observed: Option<&ObservedRole>, desired: &DesiredRoles<'_>) -> Vec<String> {
        let (role, comment) = (Ident(self.name), self.comment(desired).text());
        let mut statements = Vec::new();
        if observed.is_none() {
            statements.push(format!("CREATE ROLE {role} NOLOGIN; COMMENT ON ROLE {role} IS {}", Literal(&comment)));
        }
        if !observed.is_some_and(|observed| observed.right) {
            let attributes = RoleAttributes { login: Some(self.logs_in), limit: Some(-1), member_of: self.member_of };
            let find = format!("SELECT * INTO the_login FROM pg_roles WHERE rolname = {};", Literal(self.name));
            statements.push(sql::block(&format!("{find} {}", sql::correct_role(attributes))));
            statements.push(format!("ALTER ROLE {role} RESET ALL"));
            statements.extend(self.member_of.map(|owner| format!("ALTER ROLE {role} SET role = {}", Ident(owner))));
        }
        statements
    }

    fn lacks_password(&self, observed: Option<&ObservedRole>) -> bool {
        self.logs_in && !observed.is_some_and(|observed| observed.password)
    }
}

/// From PostgreSQL 16 on, membership must be granted with the options that give the owner's rights and allow databases to be created for it; before, it has no
/// options and always does.
fn become_owner() -> String {
    sql::block(&format!(
        "EXECUTE 'GRANT {} TO CURRENT_USER' || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;",
        Ident(OWNER)
    ))
}

pub(super) async fn read(conn: &mut PgConnection, desired: &DesiredRoles<'_>) -> Result<ObservedRoles> {
    let doing = "reading the server's roles";
    let mut roles = Vec::with_capacity(FIXED.len());
    for fixed in &FIXED {
        let row = sqlx::query(OBSERVE_ROLE).bind(fixed.name).bind(fixed.member_of).fetch_optional(&mut *conn);
        let observed = match send::answer(doing, row).await? {
            Some(row) => Some(judge(fixed, &row, desired)?),
            None => None,
        };
        roles.push(observed);
    }
    let query = "SELECT count(*) = 1 FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'USAGE')
        AND pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";
    let admin_is_owner = send::answer(doing, sqlx::query_scalar(query).bind(OWNER).fetch_one(conn)).await?;
    Ok(ObservedRoles { roles, admin_is_owner })
}

const OBSERVE_ROLE: &str = "SELECT r.rolcanlogin, shobj_description(r.oid, 'pg_authid') AS comment,
        NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls) AND rolinherit AND rolconnlimit = -1
            AND coalesce(rolvaliduntil, 'infinity') = 'infinity' AS plain,
        rolconfig IS NOT DISTINCT FROM CASE WHEN $2::text IS NOT NULL THEN ARRAY['role=' || $2::text] END AS configured,
        (SELECT coalesce(bool_and(g.rolname = $2 AND NOT m.admin_option AND to_jsonb(m)->>'inherit_option' IS DISTINCT FROM 'false'), $2 IS NULL)
           FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) IS TRUE AS member
    FROM pg_roles r WHERE rolname = $1";

fn judge(fixed: &FixedRole, row: &PgRow, desired: &DesiredRoles<'_>) -> Result<ObservedRole> {
    let read = || {
        let is = |column| row.try_get::<bool, _>(column);
        let right = is("rolcanlogin")? == fixed.logs_in && is("plain")? && is("configured")? && is("member")?;
        Ok::<_, sqlx::Error>((right, row.try_get::<Option<String>, _>("comment")?))
    };
    let (right, comment) = read().doing("reading the server's roles")?;
    let comment = RoleComment::parse(comment.as_deref()).filter(|comment| comment.cluster == desired.cluster && comment.role == fixed.name);
    let comment = comment.ok_or_else(|| Error::NotOurs { object: Object::Role, name: fixed.name.to_owned() })?;
    Ok(ObservedRole { right, password: comment == fixed.comment(desired) })
}
