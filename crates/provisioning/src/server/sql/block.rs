//! PL/pgSQL blocks that end by naming an outcome, and the advisory locks that guard every change.
//!
//! Must not read or decide anything: this is only text.

use postgres::quote::Literal;

/// A block that runs `body` and returns the outcome that it named, or `done`. `body` may use `the_database`, `the_login`, `the_row` and `the_text`.
pub(in crate::server) fn block(body: &str) -> String {
    let code = format!(
        "DECLARE the_database pg_catalog.pg_database; the_login pg_catalog.pg_roles; the_row record; the_text text; the_comment jsonb; \
         BEGIN PERFORM set_config('dailycare.outcome', '', true); {body} PERFORM set_config('dailycare.outcome', 'done', true); END"
    );
    format!("DO {}; SELECT current_setting('dailycare.outcome')", Literal(&code))
}

/// Ends a block with another outcome than `done`.
pub(super) fn end(outcome: &str) -> String {
    format!("PERFORM set_config('dailycare.outcome', {}, true); RETURN;", Literal(outcome))
}

/// The key of the advisory lock that whoever changes `name` holds, in the maintenance database.
fn key(name: &str) -> String {
    format!("hashtextextended({}, 0)", Literal(&format!("dailycare {name}")))
}

/// Within a block: waits for the lock of `name` and holds it until the transaction ends.
pub(in crate::server) fn lock(name: &str) -> String {
    format!("PERFORM pg_advisory_xact_lock({});", key(name))
}

/// A statement that waits for the lock of `name` and holds it until the session ends or releases it.
pub(in crate::server) fn advisory_lock(name: &str) -> String {
    format!("SELECT pg_advisory_lock({})", key(name))
}

/// A statement that releases the lock of `name`.
pub(in crate::server) fn advisory_unlock(name: &str) -> String {
    format!("SELECT pg_advisory_unlock({})", key(name))
}
