//! Statements about a login or a fixed role: attributes, membership, password, creation and removal.
//!
//! Must not send anything. A password is a verifier, except for a server that takes none.

use postgres::quote::{Ident, Literal};

use super::block::{block, end, lock};
use super::ownership::{check_comment, need_database, need_login};
use crate::server::{APP, TenantObjects};

/// The attributes and membership that a role should have: anything more is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct RoleAttributes<'a> {
    /// May log in; `None` leaves it unchanged.
    pub(in crate::server) login: Option<bool>,
    /// `CONNECTION LIMIT`; `None` leaves it unchanged.
    pub(in crate::server) limit: Option<i32>,
    /// The one role to be a member of.
    pub(in crate::server) member_of: Option<&'a str>,
}

/// Brings `the_login` to the desired attributes and membership, writing only what differs: an admin that is not a superuser may not even name the
/// attributes that it lacks.
pub(in crate::server) fn correct_role(desired: RoleAttributes<'_>) -> String {
    let login = match desired.login {
        Some(true) => "CASE WHEN NOT the_login.rolcanlogin THEN 'LOGIN' END,",
        Some(false) => "CASE WHEN the_login.rolcanlogin THEN 'NOLOGIN' END,",
        None => "",
    };
    let limit =
        desired.limit.map_or_else(String::new, |n| format!("CASE WHEN the_login.rolconnlimit <> {n} THEN 'CONNECTION LIMIT {n}' END,"));
    let group = desired.member_of.map_or_else(|| "''".to_owned(), |name| Literal(name).to_string());
    let join = desired.member_of.map_or_else(String::new, |name| {
        format!(
            "IF NOT EXISTS (SELECT FROM pg_auth_members WHERE member = the_login.oid AND roleid = {}::regrole) \
             THEN EXECUTE format('GRANT {} TO %I', the_login.rolname); END IF;",
            Literal(&Ident(name).to_string()),
            Ident(name),
        )
    });
    format!(
        "the_text := concat_ws(' ', {login} {limit} \
           CASE WHEN the_login.rolsuper THEN 'NOSUPERUSER' END, CASE WHEN the_login.rolcreatedb THEN 'NOCREATEDB' END, \
           CASE WHEN the_login.rolcreaterole THEN 'NOCREATEROLE' END, CASE WHEN the_login.rolreplication THEN 'NOREPLICATION' END, \
           CASE WHEN the_login.rolbypassrls THEN 'NOBYPASSRLS' END, CASE WHEN NOT the_login.rolinherit THEN 'INHERIT' END, \
           CASE WHEN the_login.rolvaliduntil < 'infinity' THEN 'VALID UNTIL ''infinity''' END); \
         IF the_text <> '' THEN EXECUTE format('ALTER ROLE %I ', the_login.rolname) || the_text; END IF; \
         FOR the_row IN SELECT group_.rolname AS name, grantor.rolname AS grantor FROM pg_auth_members m \
             JOIN pg_roles group_ ON group_.oid = m.roleid LEFT JOIN pg_roles grantor ON grantor.oid = m.grantor \
             WHERE m.member = the_login.oid AND (group_.rolname <> {group} OR m.admin_option OR to_jsonb(m)->>'inherit_option' = 'false') LOOP \
           EXECUTE format('REVOKE %I FROM %I', the_row.name, the_login.rolname) \
             || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN format(' GRANTED BY %I', the_row.grantor) ELSE '' END || ' CASCADE'; \
         END LOOP; {join}"
    )
}

/// Creates the login without LOGIN, with its ownership comment and its group; does nothing when it exists and is ours.
pub(in crate::server) fn restore_login(objects: &TenantObjects, comment: &str) -> String {
    let login = Ident(objects.login.as_str());
    block(&format!(
        "{} {} SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; IF FOUND THEN {} ELSE \
           CREATE ROLE {login} NOLOGIN INHERIT IN ROLE {}; COMMENT ON ROLE {login} IS {}; END IF;",
        lock(objects.database.as_str()),
        need_database(objects),
        Literal(objects.login.as_str()),
        check_comment("the_login", "pg_authid", objects, &end("login foreign")),
        Ident(APP),
        Literal(comment),
    ))
}

/// Ends with `done` when the login is ours, and holds the lock until the transaction ends.
pub(in crate::server) fn expect_login(objects: &TenantObjects) -> String {
    block(&format!("{} {}", lock(objects.database.as_str()), need_login(objects)))
}

/// Gives the login a password, and its ownership comment the password's fingerprint.
pub(in crate::server) fn set_password(login: &str, password: &str, comment: &str) -> String {
    let role = Ident(login);
    format!("ALTER ROLE {role} PASSWORD {}; COMMENT ON ROLE {role} IS {}", Literal(password), Literal(comment))
}

/// Drops the login, if it exists and is ours and its database does not exist.
pub(in crate::server) fn drop_login(objects: &TenantObjects) -> String {
    let login = Literal(objects.login.as_str());
    block(&format!(
        "{} IF EXISTS (SELECT FROM pg_database WHERE datname = {}) THEN {} END IF; \
         SELECT * INTO the_login FROM pg_roles WHERE rolname = {login}; IF FOUND THEN {} DROP ROLE {}; END IF;",
        lock(objects.database.as_str()),
        Literal(objects.database.as_str()),
        end("database exists"),
        check_comment("the_login", "pg_authid", objects, &end("login foreign")),
        Ident(objects.login.as_str()),
    ))
}
