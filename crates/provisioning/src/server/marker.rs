//! The marker: a role without rights whose comment is a random UUID and the role's own number, by which a server is known that does not tell its system identifier.
//!
//! A dump of all roles carries the comment to another server, but not the number, except by chance. Must not change a role of the name whose comment is not a
//! marker.

use postgres::quote::{Ident, Literal};
use sqlx::postgres::PgPool;

use super::session_guard::SessionGuard;
use super::{Error, MARKER, Object, Result, send, sql};

/// An SQL expression: the marker's UUID, where the comment of role `r` is one that was written for this role.
pub(super) const READ: &str = r#"substring(shobj_description(r.oid, 'pg_authid') FROM '^\{"server":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","oid":' || r.oid || '\}$')"#;
/// Any marker, also one that came from another server.
const ANY: &str = r#"^\{"server":"[0-9a-f-]{36}","oid":[0-9]+\}$"#;

/// Marks the server, unless it is marked. A marker that came with a dump from another server is replaced.
///
/// # Errors
/// [`Error::NotOurs`] when a role of that name has another comment.
pub async fn write(pool: &PgPool) -> Result<()> {
    let doing = "marking the server";
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    let role = Ident(MARKER);
    let find = format!("SELECT * INTO the_login FROM pg_roles WHERE rolname = {};", Literal(MARKER));
    let block = sql::block(&format!(
        "{} {find} IF NOT FOUND THEN CREATE ROLE {role} NOLOGIN; {find} \
         ELSIF shobj_description(the_login.oid, 'pg_authid') IS NULL OR shobj_description(the_login.oid, 'pg_authid') !~ {} THEN \
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
