//! Hostile text stays inside its quotes, every action checks before it changes, and no block holds a verifier.
//!
//! Must not need a server: the tests in `tests/server` run the blocks.

use domain::names::{ClusterUid, DatabaseName, LoginName, TenantId};
use uuid::Uuid;

use super::*;
use crate::server::TenantObjects;

const HOSTILE: &str = "a'b\"c\\d; DROP DATABASE e; --";

/// Takes quoted literals and identifiers out, by PostgreSQL's rules, so that what remains is what PostgreSQL would execute.
fn bare(statement: &str) -> String {
    let (mut rest, mut bare) = (statement, String::new());
    while let Some(at) = rest.find(['\'', '"']) {
        let quote = rest.as_bytes()[at];
        let escapes = quote == b'\'' && rest[..at].ends_with('E');
        bare.push_str(&rest[..at]);
        let (mut end, text) = (at + 1, rest.as_bytes());
        loop {
            match text[end] {
                b'\\' if escapes => end += 2,
                b if b == quote && text.get(end + 1) == Some(&quote) => end += 2,
                b if b == quote => break,
                _ => end += 1,
            }
        }
        rest = &rest[end + 1..];
    }
    bare + rest
}

fn objects() -> TenantObjects {
    TenantObjects {
        database: DatabaseName::parse("dailycare_tenant_a").unwrap(),
        login: LoginName::parse("dailycare_tenant_a_a").unwrap(),
        tenant: TenantId(Uuid::from_u128(1)),
        cluster: ClusterUid(Uuid::from_u128(2)),
    }
}

#[test]
fn hostile_text_stays_inside_its_quotes_in_every_statement() {
    let spare_claim = SpareClaim {
        spare: HOSTILE,
        database: HOSTILE,
        login: HOSTILE,
        connection_limit: 5,
        password: HOSTILE,
        comment: HOSTILE,
        login_comment: HOSTILE,
    };
    for statement in [
        claim(&spare_claim),
        choose_spare(HOSTILE, HOSTILE, "0123456789ab"),
        restore_login(&objects(), HOSTILE),
        set_password(HOSTILE, HOSTILE, HOSTILE),
        drop_database(HOSTILE),
        create_spare(HOSTILE, HOSTILE),
        create_building(HOSTILE, "LC_COLLATE 'C'"),
        admit_migrator(HOSTILE),
        freeze(HOSTILE, HOSTILE),
        bar_ours(HOSTILE),
        comment_database(HOSTILE, HOSTILE),
        advisory_lock(HOSTILE),
        advisory_unlock(HOSTILE),
    ] {
        assert!(!bare(&statement).contains("DROP DATABASE e"), "{statement}");
    }
}

#[test]
fn hostile_text_stays_inside_its_quotes_within_a_block_too() {
    let statement = restore_login(&objects(), HOSTILE);
    let code =
        statement.strip_prefix("DO  E'").and_then(|rest| rest.strip_suffix("'; SELECT current_setting('dailycare.outcome')")).unwrap();
    let executed = bare(&code.replace("''", "'").replace("\\\\", "\\"));
    assert!(executed.contains("CREATE ROLE") && !executed.contains("DROP DATABASE"), "{executed}");
}

#[test]
fn every_action_on_a_school_locks_and_checks_the_comment_before_it_changes_anything() {
    for block in [
        open(&objects(), 5),
        close(&objects()),
        bar(&objects()),
        bar_closed(&objects()),
        restore_login(&objects(), "{}"),
        drop_login(&objects()),
    ] {
        let at = |text: &str| block.find(text).unwrap_or(usize::MAX);
        let first_change = ["ALTER ", "CREATE ", "DROP ", "GRANT ", "REVOKE "].map(at).into_iter().min().unwrap();
        assert!(at("pg_advisory_xact_lock") < at("the_comment->>") && at("the_comment->>") < first_change, "{block}");
    }
}

#[test]
fn a_block_contains_no_verifier() {
    let statement = set_password("a", "SCRAM-SHA-256$4096:x", "{}");
    assert!(statement.starts_with("ALTER ROLE") && !statement.contains("DO "));
}
