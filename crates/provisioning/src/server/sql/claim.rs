//! Choosing a spare and claiming it.
//!
//! Must not send anything: this is only text.

use postgres::quote::{Ident, Literal};

use super::block::{block, end, lock};
use super::database::{collates_as_now, is_frozen};
use super::rights::set_search_path;
use crate::server::{APP, MIGRATOR, MONITOR};

/// An SQL condition: a complete staged database that belongs to no school and that nobody is in: with a session in it, it could not be renamed.
pub(in crate::server) fn is_spare(database: &str) -> String {
    format!(
        "{database}.datname ~ '^dc_spare_[0-9a-f]{{12}}_[0-9a-f]{{32}}$' AND {} AND shobj_description({database}.oid, 'pg_database') IS NULL AND {} \
         AND NOT EXISTS (SELECT FROM pg_stat_activity session WHERE session.datid = {database}.oid AND session.usesysid IS NOT NULL)",
        is_frozen(database),
        collates_as_now(database),
    )
}

/// The start of the names of all spares of a schema.
pub(in crate::server) fn spare_prefix(digest: &str) -> String {
    format!("dc_spare_{}_", postgres::schema::short(digest))
}

/// Chooses a spare to claim: `taken` when the names are in use, `none` when there is no spare, or the spare's name. Holds the locks until the transaction
/// ends. Once a spare is locked, a separate statement checks that it still exists: a statement sees only what was committed before it began, and the spare
/// may have been claimed since.
pub(in crate::server) fn choose_spare(database: &str, login: &str, digest: &str) -> String {
    let spare = "PERFORM set_config('dailycare.outcome', the_row.datname, true); RETURN;";
    block(&format!(
        "{} IF EXISTS (SELECT FROM pg_database WHERE datname = {}) OR EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN {} END IF; \
         FOR the_row IN SELECT oid, datname FROM pg_database WHERE {} AND left(datname, {}) = {} ORDER BY oid LOOP \
           IF pg_try_advisory_xact_lock(hashtextextended('dailycare ' || the_row.datname, 0)) THEN \
             IF EXISTS (SELECT FROM pg_database WHERE oid = the_row.oid AND datname = the_row.datname) THEN {spare} END IF; \
           END IF; \
         END LOOP; {}",
        lock(database),
        Literal(database),
        Literal(login),
        end("taken"),
        is_spare("pg_database"),
        spare_prefix(digest).len(),
        Literal(&spare_prefix(digest)),
        end("none"),
    ))
}

/// What a claim gives to a spare: names, login and ownership comments.
pub(in crate::server) struct SpareClaim<'a> {
    pub(in crate::server) spare: &'a str,
    pub(in crate::server) database: &'a str,
    pub(in crate::server) login: &'a str,
    pub(in crate::server) connection_limit: u16,
    pub(in crate::server) password: &'a str,
    pub(in crate::server) comment: &'a str,
    pub(in crate::server) login_comment: &'a str,
}

/// Creates the login, renames the spare, grants the rights and writes the ownership comments; for a transaction that holds the locks.
pub(in crate::server) fn claim(claim: &SpareClaim<'_>) -> String {
    let (spare, database, login) = (Ident(claim.spare), Ident(claim.database), Ident(claim.login));
    format!(
        "CREATE ROLE {login} LOGIN PASSWORD {} CONNECTION LIMIT {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT IN ROLE {}; \
         COMMENT ON ROLE {login} IS {}; \
         ALTER DATABASE {spare} RENAME TO {database}; \
         REVOKE ALL ON DATABASE {database} FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {database} TO {login}, {}, {}; {set_search_path} \
         COMMENT ON DATABASE {database} IS {}; \
         ALTER DATABASE {database} CONNECTION LIMIT -1",
        Literal(claim.password),
        claim.connection_limit,
        Ident(APP),
        Literal(claim.login_comment),
        Ident(MIGRATOR),
        Ident(MONITOR),
        Literal(claim.comment),
        set_search_path = set_search_path(claim.database),
    )
}
