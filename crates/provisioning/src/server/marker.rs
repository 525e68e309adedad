//! The marker: a role without rights whose comment is a random UUID and the role's own number, by which a server is known that does not tell its system
//! identifier.
//!
//! A dump of all roles carries the comment to another server, but not the number, except by a chance that is kept small. Must not change a role of the name that
//! has another comment, or that may do something.

use postgres::quote::{Ident, Literal};
use sqlx::postgres::PgPool;

use super::session_guard::SessionGuard;
use super::{Error, MARKER, Object, Result, send, sql};

/// An SQL expression: the marker's UUID, where the comment of role `r` is one that was written for this role.
pub(super) const READ: &str = r#"substring(shobj_description(r.oid, 'pg_authid') FROM '^\{"server":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","oid":' || r.oid || '\}$')"#;
/// Any marker, also one that came from another server.
const ANY: &str = r#"^\{"server":"[0-9a-f-]{36}","oid":[0-9]+\}$"#;

/// A server that got this role from a dump gives it the next number. Two servers that were made alike would give the same one, so the number of the first role
/// is moved away at random by at most this: each large object takes a number from the same counter, and is gone at once.
const NUMBERS: u16 = 1000;

/// Marks the server, unless it is marked. A marker that came with a dump from another server is replaced, and one whose comment was removed is written again.
///
/// # Errors
/// [`Error::NotOurs`] when a role of that name has another comment, or has none and may do something.
pub async fn write(pool: &PgPool) -> Result<()> {
    let doing = "marking the server";
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    let role = Ident(MARKER);
    let find = format!("SELECT * INTO the_login FROM pg_roles WHERE rolname = {};", Literal(MARKER));
    let block = sql::block(&format!(
        "{} {find} IF NOT FOUND THEN \
           PERFORM lo_unlink(lo_create(0)) FROM generate_series(0, (random() * {NUMBERS})::int); CREATE ROLE {role} NOLOGIN; {find} \
         ELSIF shobj_description(the_login.oid, 'pg_authid') !~ {} OR shobj_description(the_login.oid, 'pg_authid') IS NULL \
             AND (the_login.rolcanlogin OR the_login.rolsuper OR the_login.rolcreatedb OR the_login.rolcreaterole \
               OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = the_login.oid)) THEN \
           PERFORM set_config('dailycare.outcome', 'foreign', true); RETURN; END IF; \
         IF (SELECT {READ} FROM pg_roles r WHERE r.oid = the_login.oid) IS NULL THEN \
           EXECUTE format('COMMENT ON ROLE {role} IS %L', format('{{\"server\":\"%s\",\"oid\":%s}}', gen_random_uuid(), the_login.oid)); END IF;",
        sql::lock("roles"),
        Literal(ANY),
    ));
    match send::outcome(&mut conn, block, doing).await?.as_str() {
        "done" => {
            conn.release();
            Ok(())
        }
        "foreign" => Err(Error::NotOurs { object: Object::Role, name: MARKER.to_owned() }),
        _ => Err(Error::UnexpectedAnswer { doing }),
    }
}
