//! Applying migrations: once, in order, unedited, whole or not at all.

use std::path::Path;

use domain::retry::Class;
use postgres::schema::{Applied, Error, Kind, Migrations};
use sqlx::postgres::PgConnection;
use testing::Version;

use crate::fixtures::{Admin, Master, execute, refusal};

/// Migrations made of these statements, the first one first.
fn migrations(files: &[&str]) -> Migrations {
    let directory = tempfile::tempdir().unwrap();
    for (number, sql) in (1..).zip(files) {
        std::fs::write(directory.path().join(format!("{number:04}_step.sql")), sql).unwrap();
    }
    Migrations::from_dir(Kind::Tenant, Path::new(directory.path())).unwrap()
}

async fn server() -> (Master, PgConnection) {
    let master = Master::start(Version::V15, Admin::Superuser).await;
    let conn = master.superuser("postgres").await;
    (master, conn)
}

async fn bring(conn: &mut PgConnection, migrations: &Migrations) -> Result<(), Error> {
    while let Some(next) = migrations.next_after(migrations.applied(conn).await?) {
        assert_eq!(migrations.apply(conn, next, None).await?, Applied::Now);
    }
    Ok(())
}

#[tokio::test]
async fn a_file_is_applied_once_and_its_record_and_comment_with_it() {
    let (_master, mut conn) = server().await;
    let list = migrations(&["CREATE TABLE app.a (); CREATE TABLE app.b ()"]);
    let comment = Some("COMMENT ON DATABASE postgres IS 'at 1'");
    assert_eq!(list.applied(&mut conn).await.unwrap(), 0);
    assert_eq!(list.apply(&mut conn, &list.all()[0], comment).await.unwrap(), Applied::Now);
    assert_eq!(list.apply(&mut conn, &list.all()[0], Some("COMMENT ON DATABASE postgres IS 'again'")).await.unwrap(), Applied::Already);
    assert_eq!(list.applied(&mut conn).await.unwrap(), 1);
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'postgres'";
    assert_eq!(sqlx::query_scalar::<_, String>(comment).fetch_one(&mut conn).await.unwrap(), "at 1");
}

#[tokio::test]
async fn a_file_or_comment_that_fails_leaves_nothing_and_quotes_no_statement() {
    let (_master, mut conn) = server().await;
    let list = migrations(&["CREATE TABLE app.kept ()", "CREATE TABLE app.gone (); SELECT 'canary'; SELECT 1 / 0"]);
    let error = bring(&mut conn, &list).await.unwrap_err();
    assert_eq!((error.class(), error.sqlstate().as_deref()), (Class::Invalid, Some("22012")));
    assert_eq!(error.to_string(), "migration 0002_step.sql failed");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    assert_eq!(list.applied(&mut conn).await.unwrap(), 1);
    assert_eq!(refusal(&mut conn, "SELECT FROM app.gone").await.as_deref(), Some("42P01"));

    let list = migrations(&["CREATE TABLE app.kept ()", "CREATE TABLE app.gone ()"]);
    let error = list.apply(&mut conn, &list.all()[1], Some("COMMENT ON ROLE nowhere IS ''")).await.unwrap_err();
    assert!(matches!(error, Error::Record(_)), "{error:?}");
    assert_eq!(refusal(&mut conn, "SELECT FROM app.gone").await.as_deref(), Some("42P01"));
    bring(&mut conn, &list).await.unwrap();
}

#[tokio::test]
async fn a_first_file_that_fails_leaves_not_even_the_record_table() {
    let (_master, mut conn) = server().await;
    let error = bring(&mut conn, &migrations(&["SELEC"])).await.unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    assert_eq!(refusal(&mut conn, "CREATE SCHEMA app").await, None);
}

#[tokio::test]
async fn an_edited_file_is_refused_before_anything_runs() {
    let (_master, mut conn) = server().await;
    bring(&mut conn, &migrations(&["CREATE TABLE app.a ()"])).await.unwrap();
    let edited = migrations(&["CREATE TABLE app.a (b int)", "CREATE TABLE app.c ()"]);
    for failed in [edited.applied(&mut conn).await.unwrap_err(), edited.apply(&mut conn, &edited.all()[1], None).await.unwrap_err()] {
        assert!(matches!(&failed, Error::Edited { file } if file == "0001_step.sql"), "{failed:?}");
    }
    assert_eq!(refusal(&mut conn, "SELECT FROM app.c").await.as_deref(), Some("42P01"));
}

#[tokio::test]
async fn versions_that_do_not_follow_each_other_are_refused() {
    let (_master, mut conn) = server().await;
    let list = migrations(&["SELECT 1", "SELECT 2", "SELECT 3"]);
    let skipping = list.apply(&mut conn, &list.all()[1], None).await.unwrap_err();
    assert!(matches!(skipping, Error::Gap { recorded: 0, next: 2 }), "{skipping:?}");
    bring(&mut conn, &list).await.unwrap();
    let older = migrations(&["SELECT 1", "SELECT 2"]);
    let ahead = older.apply(&mut conn, &older.all()[1], None).await.unwrap_err();
    assert!(matches!(ahead, Error::Ahead { recorded: 3, known: 2 }), "{ahead:?}");
    execute(&mut conn, "DELETE FROM app.schema_migrations WHERE version = 2").await;
    assert!(matches!(list.applied(&mut conn).await.unwrap_err(), Error::Gap { recorded: 1, next: 3 }));
    let stranger = migrations(&["SELECT 4"]);
    assert!(matches!(list.apply(&mut conn, &stranger.all()[0], None).await.unwrap_err(), Error::Unknown { .. }));
}

#[tokio::test]
async fn runners_that_meet_apply_a_file_once() {
    let (master, mut conn) = server().await;
    let list = migrations(&["CREATE TABLE app.a ()"]);
    let runs = (0..5).map(async |_| {
        let mut conn = master.superuser("postgres").await;
        list.apply(&mut conn, &list.all()[0], None).await.unwrap()
    });
    let done = futures::future::join_all(runs).await;
    assert_eq!(done.iter().filter(|applied| **applied == Applied::Now).count(), 1, "{done:?}");
    assert_eq!(list.applied(&mut conn).await.unwrap(), 1);
}

#[tokio::test]
async fn a_table_in_use_makes_a_migration_contended_not_invalid() {
    let (master, mut conn) = server().await;
    let list = migrations(&["CREATE TABLE app.a ()", "ALTER TABLE app.a ADD b int"]);
    list.apply(&mut conn, &list.all()[0], None).await.unwrap();
    let mut user = master.superuser("postgres").await;
    execute(&mut user, "BEGIN; LOCK TABLE app.a IN ACCESS SHARE MODE").await;
    execute(&mut conn, "SET lock_timeout = '50ms'").await;
    let error = list.apply(&mut conn, &list.all()[1], None).await.unwrap_err();
    assert_eq!((error.class(), error.sqlstate().as_deref()), (Class::Contended, Some("55P03")));
    execute(&mut user, "ROLLBACK").await;
    assert_eq!(list.apply(&mut conn, &list.all()[1], None).await.unwrap(), Applied::Now);
}

#[tokio::test]
async fn a_statement_that_cannot_run_in_a_transaction_is_a_mistake_of_the_file() {
    let (_master, mut conn) = server().await;
    let cases = [
        ("CREATE INDEX CONCURRENTLY b ON app.a (b)", "25001"),
        ("DO $$ BEGIN COMMIT; END $$", "2D000"),
        ("INSERT INTO app.a (c) VALUES (1); ALTER TABLE app.a ADD d int", "55006"),
    ];
    for (statement, code) in cases {
        let table = "CREATE TABLE app.a (b int, c int REFERENCES app.a (e) DEFERRABLE INITIALLY DEFERRED, e int PRIMARY KEY DEFAULT 1)";
        let list = migrations(&[table, statement]);
        let error = bring(&mut conn, &list).await.unwrap_err();
        assert_eq!((error.class(), error.sqlstate().as_deref()), (Class::Invalid, Some(code)), "{statement}");
        assert_eq!(list.applied(&mut conn).await.unwrap(), 1);
    }
}

const TABLE: &str = "CREATE TABLE app.a (b int); INSERT INTO app.a VALUES (1), (1)";
const ALONE: &str = "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_b_key ON app.a (b);";
const INDEX: &str = "SELECT coalesce((SELECT indisvalid::text FROM pg_index WHERE indexrelid = to_regclass('app.a_b_key')), 'none')";

async fn text(conn: &mut PgConnection, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn a_file_without_transaction_makes_its_index_and_leaves_none_when_it_fails() {
    let (_master, mut conn) = server().await;
    let list = migrations(&[TABLE, ALONE]);
    let comment = Some("COMMENT ON DATABASE postgres IS 'at 2'");
    list.apply(&mut conn, &list.all()[0], None).await.unwrap();
    let error = list.apply(&mut conn, &list.all()[1], comment).await.unwrap_err();
    assert_eq!((error.class(), error.sqlstate().as_deref()), (Class::Invalid, Some("23505")));
    assert_eq!((list.applied(&mut conn).await.unwrap(), text(&mut conn, INDEX).await.as_str()), (1, "none"));
    execute(&mut conn, "DELETE FROM app.a WHERE ctid = (SELECT max(ctid) FROM app.a)").await;
    assert_eq!(list.apply(&mut conn, &list.all()[1], comment).await.unwrap(), Applied::Now);
    assert_eq!(list.apply(&mut conn, &list.all()[1], comment).await.unwrap(), Applied::Already);
    assert_eq!((list.applied(&mut conn).await.unwrap(), text(&mut conn, INDEX).await.as_str()), (2, "true"));
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'postgres'";
    assert_eq!(text(&mut conn, comment).await, "at 2");
    assert_eq!(text(&mut conn, "SHOW lock_timeout").await, "0");
    assert_eq!(text(&mut conn, "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'").await, "0");
}

#[tokio::test]
async fn a_file_without_transaction_is_resumed_wherever_it_was_stopped() {
    let (_master, mut conn) = server().await;
    let list = migrations(&[TABLE, ALONE]);
    list.apply(&mut conn, &list.all()[0], None).await.unwrap();
    // Stopped within: an index that is not valid, and that refuses rows nevertheless.
    let unfinished = "CREATE UNIQUE INDEX CONCURRENTLY a_b_key ON app.a (b)";
    assert_eq!(refusal(&mut conn, unfinished).await.as_deref(), Some("23505"));
    assert_eq!(text(&mut conn, INDEX).await, "false");
    execute(&mut conn, "DELETE FROM app.a WHERE ctid = (SELECT max(ctid) FROM app.a)").await;
    assert_eq!(list.apply(&mut conn, &list.all()[1], None).await.unwrap(), Applied::Now);
    assert_eq!(text(&mut conn, INDEX).await, "true");
    // Stopped before its record.
    execute(&mut conn, "DELETE FROM app.schema_migrations WHERE version = 2").await;
    assert_eq!(list.apply(&mut conn, &list.all()[1], None).await.unwrap(), Applied::Now);
    assert_eq!(list.applied(&mut conn).await.unwrap(), 2);
    // Something else has the index's name.
    execute(&mut conn, "DELETE FROM app.schema_migrations WHERE version = 2; DROP INDEX app.a_b_key; CREATE TABLE app.a_b_key ()").await;
    assert!(matches!(list.apply(&mut conn, &list.all()[1], None).await, Err(Error::NoIndex { .. })));
    assert_eq!(list.applied(&mut conn).await.unwrap(), 1);
}

#[tokio::test]
async fn runners_that_meet_at_a_file_without_transaction_apply_it_once() {
    let (master, mut conn) = server().await;
    let list = migrations(&["CREATE TABLE app.a (b int)", ALONE]);
    list.apply(&mut conn, &list.all()[0], None).await.unwrap();
    let runs = (0..5).map(async |_| {
        let mut conn = master.superuser("postgres").await;
        list.apply(&mut conn, &list.all()[1], None).await
    });
    let done = futures::future::join_all(runs).await;
    assert_eq!(done.iter().filter(|applied| matches!(applied, Ok(Applied::Now))).count(), 1, "{done:?}");
    assert!(done.iter().all(|applied| matches!(applied, Ok(_) | Err(Error::Busy { .. }))), "{done:?}");
    assert_eq!(list.applied(&mut conn).await.unwrap(), 2);
}

#[tokio::test]
async fn accounts_that_were_removed_before_lose_what_is_personal() {
    let (_master, mut conn) = server().await;
    execute(&mut conn, "CREATE ROLE dailycare_operator; CREATE ROLE dailycare_api; ALTER DATABASE postgres OWNER TO dailycare_operator")
        .await;
    execute(&mut conn, "SET ROLE dailycare_operator").await;
    let list = Migrations::master().unwrap();
    while let Some(next) = list.next_after(list.applied(&mut conn).await.unwrap()) {
        if next.name == "removed_accounts" {
            let accounts = "
                INSERT INTO registry.tenants (name, code, email) VALUES ('Norte', 'norte', 'x@x');
                INSERT INTO registry.users (tenant_id, name, email, phone_number, password_hash, role, is_deleted)
                SELECT id, role, role || gone || '@x', '1', 'x', role, gone
                FROM registry.tenants, unnest(ARRAY['Teacher', 'Guardian']) AS role, unnest(ARRAY[false, true]) AS gone";
            execute(&mut conn, accounts).await;
        }
        list.apply(&mut conn, next, None).await.unwrap();
    }
    let left = "SELECT string_agg(name || ' ' || replace(email, id::text, 'id') || coalesce(' ' || phone_number, ''), ', ' ORDER BY is_deleted, role)
                FROM registry.users";
    let left: String = sqlx::query_scalar(left).fetch_one(&mut conn).await.unwrap();
    assert_eq!(left, "Guardian Guardianfalse@x 1, Teacher Teacherfalse@x 1, - id@removed.invalid, Teacher id@removed.invalid");
}

#[tokio::test]
async fn the_embedded_tenant_schema_applies_as_tenant_owner() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Superuser).await;
        let mut conn = master.superuser("postgres").await;
        execute(&mut conn, "CREATE ROLE tenant_owner; CREATE ROLE tenant_app; ALTER DATABASE postgres OWNER TO tenant_owner").await;
        execute(&mut conn, "SET ROLE tenant_owner").await;
        let list = Migrations::tenant().unwrap();
        bring(&mut conn, &list).await.unwrap();
        assert_eq!(list.applied(&mut conn).await.unwrap(), list.target());
    }
}

/// Dates and moments that a school's login may write, beside the stamps that a trigger keeps, without a valid bound.
const UNBOUNDED: &str = "
    SELECT coalesce(string_agg(c.oid::regclass || '.' || a.attname, ' ' ORDER BY 1), '') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid IN ('date'::regtype, 'timestamptz'::regtype, 'timestamp'::regtype)
      AND (has_column_privilege('tenant_app', c.oid, a.attnum, 'INSERT') OR has_column_privilege('tenant_app', c.oid, a.attnum, 'UPDATE'))
      AND NOT (a.attname IN ('created_at', 'updated_at') AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_stamp'))
      AND NOT EXISTS (SELECT FROM pg_constraint b WHERE b.conrelid = c.oid AND b.convalidated AND b.conname = c.relname || '_' || a.attname || '_range')";

#[tokio::test]
async fn a_date_that_programs_cannot_read_is_refused_whoever_writes_it() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Superuser).await;
        let mut conn = master.superuser("postgres").await;
        execute(&mut conn, "CREATE ROLE tenant_owner; CREATE ROLE tenant_app; ALTER DATABASE postgres OWNER TO tenant_owner").await;
        execute(&mut conn, "SET ROLE tenant_owner").await;
        bring(&mut conn, &Migrations::tenant().unwrap()).await.unwrap();
        assert_eq!(text(&mut conn, UNBOUNDED).await, "");
        execute(&mut conn, "INSERT INTO app.staff (full_name, starts_on, ends_on) VALUES ('Rui', '0001-01-01', '9999-12-31')").await;
        execute(&mut conn, "INSERT INTO app.children (full_name) VALUES ('Ana')").await;
        for refused in [
            "UPDATE app.staff SET ends_on = 'infinity'",
            "UPDATE app.staff SET starts_on = '-infinity'",
            "UPDATE app.staff SET starts_on = '0001-12-31 BC'",
            "UPDATE app.staff SET ends_on = '10000-01-01'",
            "UPDATE app.children SET deleted_at = 'infinity'",
            "INSERT INTO app.activities (child_id, kind, notes, started_at) SELECT id, 'observation', 'x', 'infinity' FROM app.children",
            "INSERT INTO app.activities (child_id, kind, notes, started_at) SELECT id, 'observation', 'x', '10000-01-01' FROM app.children",
            "INSERT INTO app.access_audit (tenant_id, action, resource, success, occurred_at) VALUES (gen_random_uuid(), 'x', 'x', true, 'infinity')",
            "INSERT INTO app.medications (child_id, name, dose, route, times_of_day) SELECT id, 'x', 'x', 'oral', '{NULL}' FROM app.children",
            "INSERT INTO app.medications (child_id, name, dose, route, times_of_day) SELECT id, 'x', 'x', 'oral', '{{08:00}}' FROM app.children",
            "INSERT INTO app.medications (child_id, name, dose, route, times_of_day) SELECT id, 'x', 'x', 'oral', '{24:00}' FROM app.children",
        ] {
            assert_eq!(refusal(&mut conn, refused).await.as_deref(), Some("23514"), "{refused}");
        }
        execute(&mut conn, "INSERT INTO app.medications (child_id, name, dose, route) SELECT id, 'x', 'x', 'oral' FROM app.children").await;
    }
}

#[tokio::test]
async fn rows_from_before_the_bounds_stop_no_migration_and_lose_nothing() {
    let (_master, mut conn) = server().await;
    execute(&mut conn, "CREATE ROLE tenant_owner; CREATE ROLE tenant_app; ALTER DATABASE postgres OWNER TO tenant_owner").await;
    execute(&mut conn, "SET ROLE tenant_owner").await;
    let list = Migrations::tenant().unwrap();
    while let Some(next) = list.next_after(list.applied(&mut conn).await.unwrap()) {
        if next.name == "bounded_times" {
            let rows = "
                INSERT INTO app.children (full_name) VALUES ('Ana');
                INSERT INTO app.classes (name, school_year) VALUES ('Girassol', 2026);
                INSERT INTO app.guardians (full_name) VALUES ('Marta');
                INSERT INTO app.enrolments (child_id, class_id, starts_on, ends_on) SELECT c.id, s.id, '2026-09-01', 'infinity' FROM app.children c, app.classes s;
                INSERT INTO app.child_guardians (child_id, guardian_id, relation, may_pick_up, pick_up_until)
                SELECT c.id, g.id, 'mother', true, 'infinity' FROM app.children c, app.guardians g;
                INSERT INTO app.staff (full_name, ends_on) VALUES ('Rui', 'infinity');
                INSERT INTO app.medications (child_id, name, dose, route, authorised_by, authorised_from, authorised_until)
                SELECT c.id, 'x', 'x', 'oral', g.id, '2026-09-01', 'infinity' FROM app.children c, app.guardians g";
            execute(&mut conn, rows).await;
        }
        list.apply(&mut conn, next, None).await.unwrap();
    }
    let ends = "SELECT concat_ws(' ', e.ends_on, g.pick_up_until, s.ends_on, m.authorised_until) FROM app.enrolments e, app.child_guardians g, app.staff s, app.medications m";
    assert_eq!(text(&mut conn, ends).await, "infinity", "what has no other meaning stays");
    assert_eq!(text(&mut conn, UNBOUNDED).await, "app.medications.authorised_until");
    assert_eq!(refusal(&mut conn, "UPDATE app.medications SET authorised_until = 'infinity'").await.as_deref(), Some("23514"));
    execute(&mut conn, "UPDATE app.medications SET authorised_until = '2026-12-31'").await;
}
