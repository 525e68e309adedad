//! What the databases hold in the end, against what was acknowledged: nothing lost, nothing doubled, nothing of anybody else's.
//!
//! Must not run while requests run.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use testing::Platform;
use uuid::Uuid;

use super::oracle::Oracle;
use super::report::Findings;
use super::schools::{NEVER, Subject};

/// Compares; returns how many rows of children were compared.
pub(crate) async fn check(platform: &Platform, subject: &Subject, oracle: &Oracle, findings: &Findings) -> u64 {
    let school = subject.school.lock().await;
    let mut conn = platform.superuser(&school).await.unwrap();
    let rows = children(&mut conn, subject, findings).await;
    audit(&mut conn, subject, findings).await;
    contents(&mut conn, subject, oracle, findings).await;
    conn.close().await.unwrap();
    rows
}

/// Sessions that all schools' databases ever saw.
pub(crate) async fn sessions(platform: &Platform) -> u64 {
    let mut conn = PgConnection::connect(&platform.server.superuser_url("postgres")).await.unwrap();
    let count = "SELECT coalesce(sum(sessions), 0)::int8 FROM pg_stat_database WHERE datname LIKE '%canary%'";
    let sessions: i64 = sqlx::query_scalar(count).fetch_one(&mut conn).await.unwrap();
    u64::try_from(sessions).unwrap_or_default()
}

async fn children(conn: &mut PgConnection, subject: &Subject, findings: &Findings) -> u64 {
    let all: Vec<(Uuid, String, bool)> =
        sqlx::query_as("SELECT id, full_name, deleted_at IS NOT NULL FROM app.children").fetch_all(conn).await.unwrap();
    let mut found: HashMap<u64, Vec<(Uuid, bool)>> = HashMap::new();
    let mut planted = 0;
    for (id, name, removed) in &all {
        match name.rsplit_once(" n").and_then(|(_, serial)| serial.parse().ok()) {
            Some(serial) => found.entry(serial).or_default().push((*id, *removed)),
            None if subject.planted.contains(id) && !removed => planted += 1,
            None => findings.wrong_row(|| format!("{}: nobody asked for {id} {name}, or nobody may remove it", subject.marker)),
        }
    }
    if planted != subject.planted.len() {
        findings.wrong_row(|| format!("{}: {planted} planted children are left", subject.marker));
    }
    let children = subject.children();
    let present = children.present.iter().map(|made| (made.serial, (Some(made.id), false)));
    let expected: HashMap<u64, (Option<Uuid>, bool)> =
        present.chain(children.removed.iter().map(|serial| (*serial, (None, true)))).collect();
    for (serial, (id, removed)) in &expected {
        let rows = found.get(serial).map_or(&[][..], Vec::as_slice);
        let right = matches!(rows, [(found, gone)] if gone == removed && id.is_none_or(|id| id == *found));
        if !right {
            findings.wrong_row(|| format!("{}: n{serial} should be {id:?}, removed {removed}; there is {rows:?}", subject.marker));
        }
    }
    for serial in found.keys().filter(|serial| !expected.contains_key(serial)) {
        let why = if *serial >= NEVER { "a refused write was done" } else { "nobody was told of it" };
        findings.wrong_row(|| format!("{}: n{serial} is there: {why}", subject.marker));
    }
    all.len().try_into().unwrap_or_default()
}

/// Its audit names its own tenant alone, and holds a record of every write that is there.
async fn audit(conn: &mut PgConnection, subject: &Subject, findings: &Findings) {
    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM app.access_audit WHERE tenant_id <> $1")
        .bind(subject.tenant)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    if others > 0 {
        findings.foreign(|| format!("{}: {others} records of its audit name another tenant", subject.marker));
    }
    let count = "SELECT count(*) FILTER (WHERE action = 'children:create' AND success), count(*) FILTER (WHERE action = 'children:delete' AND success) FROM app.access_audit";
    let (created, removed): (i64, i64) = sqlx::query_as(count).fetch_one(conn).await.unwrap();
    let children = subject.children();
    let (all, gone) = (children.present.len() + children.removed.len(), children.removed.len());
    if usize::try_from(created).is_ok_and(|created| created < all) || usize::try_from(removed).is_ok_and(|removed| removed < gone) {
        findings.wrong_row(|| format!("{}: {all} creations and {gone} removals have {created} and {removed} records", subject.marker));
    }
}

/// Every row of every table, searched as answers are. The audit may name another school's id: that somebody asked for it is what it records.
async fn contents(conn: &mut PgConnection, subject: &Subject, oracle: &Oracle, findings: &Findings) {
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *conn).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM app.{table} t"))).fetch_all(&mut *conn).await.unwrap();
        for row in rows {
            let own = Some(subject.index);
            let foreign =
                if table == "access_audit" { oracle.markers_in(own, row.as_bytes()) } else { oracle.foreign(own, row.as_bytes()) };
            for found in foreign {
                findings.foreign(|| format!("{}: app.{table} holds {found:?}: {row}", subject.marker));
            }
        }
    }
}
