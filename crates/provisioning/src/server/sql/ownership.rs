//! Reading an object's ownership comment within a block, and ending the block when the object is not ours.
//!
//! Must not send anything, and must not take a missing comment for ours.

use postgres::quote::{Ident, Literal};

use super::block::{block, end, lock};
use crate::server::TenantObjects;

/// Reads an ownership comment into `the_comment`, null when it is not JSON, and runs `otherwise` unless it names the tenant and cluster of `objects`.
pub(super) fn check_comment(object: &str, catalog: &str, objects: &TenantObjects, otherwise: &str) -> String {
    format!(
        "BEGIN the_comment := shobj_description({object}.oid, {})::jsonb; EXCEPTION WHEN OTHERS THEN the_comment := NULL; END; \
         IF the_comment->>'tenant' IS DISTINCT FROM {} OR the_comment->>'cluster' IS DISTINCT FROM {} THEN {otherwise} END IF;",
        Literal(catalog),
        Literal(&objects.tenant.to_string()),
        Literal(&objects.cluster.to_string()),
    )
}

/// Reads the database; ends the block unless it exists and is ours.
pub(super) fn need_database(objects: &TenantObjects) -> String {
    format!(
        "SELECT * INTO the_database FROM pg_database WHERE datname = {}; IF NOT FOUND THEN {} END IF; {}",
        Literal(objects.database.as_str()),
        end("database gone"),
        check_comment("the_database", "pg_database", objects, &end("database foreign")),
    )
}

/// Reads the database; afterwards `the_database.oid` is null unless the database exists and is ours.
pub(super) fn find_database(objects: &TenantObjects) -> String {
    format!(
        "SELECT * INTO the_database FROM pg_database WHERE datname = {}; {}",
        Literal(objects.database.as_str()),
        check_comment("the_database", "pg_database", objects, "the_database := NULL;"),
    )
}

/// Ends the block when the database or the login exists and is ours, and holds the lock of a claim until then: a claim that was sent before has ended.
pub(in crate::server) fn need_nothing(objects: &TenantObjects) -> String {
    block(&format!(
        "{} {} {} IF the_database.oid IS NOT NULL OR the_login.oid IS NOT NULL THEN {} END IF;",
        lock(objects.database.as_str()),
        find_database(objects),
        find_login(objects),
        end("something left"),
    ))
}

/// Reads the login; ends the block unless it exists and is ours.
pub(super) fn need_login(objects: &TenantObjects) -> String {
    format!(
        "SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; IF NOT FOUND THEN {} END IF; {}",
        Literal(objects.login.as_str()),
        end("login gone"),
        check_comment("the_login", "pg_authid", objects, &end("login foreign")),
    )
}

/// Reads the login; afterwards `the_login.oid` is null unless the login exists and is ours.
pub(super) fn find_login(objects: &TenantObjects) -> String {
    format!(
        "SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; {}",
        Literal(objects.login.as_str()),
        check_comment("the_login", "pg_authid", objects, "the_login := NULL;"),
    )
}

pub(super) const NOT_INTERRUPTED: &str =
    "IF the_database.datconnlimit = -2 THEN PERFORM set_config('dailycare.outcome', 'database interrupted', true); RETURN; END IF;";

/// Sets a database's ownership comment.
pub(in crate::server) fn comment_database(database: &str, comment: &str) -> String {
    format!("COMMENT ON DATABASE {} IS {}", Ident(database), Literal(comment))
}
