//! Migrations reach living schools: each by itself, as the migrator, whatever happens to the others; and what was applied is never applied anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::api::{Patch, PatchParams};
use operator::crd::School;
use postgres::schema::{Kind, Migrations, short};
use serde_json::{Value, json};
use sqlx::{Executor as _, PgConnection};
use tempfile::TempDir;
use testing::Postgres;

use crate::fleet::{order, query_value};
use crate::world::{Setup, World, conditions, log_in, run, says};

/// Fails for a school that has a class of a certain name, and waits for whoever reads classes.
const WITNESS: &str = "
CREATE TABLE app.witness AS SELECT session_user::text AS who, current_user::text AS acting, (SELECT count(*) FROM app.classes) AS classes;
DO $$
BEGIN
    IF EXISTS (SELECT FROM app.classes WHERE name = 'Blocked') THEN
        RAISE check_violation USING MESSAGE = 'the class of a child named Canary stands in the way';
    END IF;
END
$$;
ALTER TABLE app.classes ADD COLUMN mascot text;
";

fn built_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema/tenant")
}

/// The built-in schema and more files, or the same ones changed.
pub fn schema(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(built_in()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    for (name, sql) in files {
        fs::write(directory.path().join(name), sql).unwrap();
    }
    directory
}

fn digest(directory: &Path) -> String {
    short(Migrations::from_dir(Kind::Tenant, directory).unwrap().digest()).to_owned()
}

fn message(school: &School, kind: &str) -> String {
    conditions(Some(school)).into_iter().find(|condition| condition.type_ == kind).unwrap().message
}

/// The schema version in the ownership comment of a database.
async fn recorded_version(server: &Postgres, code: &'static str) -> u64 {
    let query = "SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'dailycare_tenant_' || $1";
    let row: (String, String) = sqlx::query_as(query).bind(code).fetch_one(&mut World::superuser(server, "postgres").await).await.unwrap();
    serde_json::from_str::<Value>(&row.1).unwrap()["schema"].as_u64().unwrap()
}

pub async fn at_version(world: &World, code: &str, version: u32) -> School {
    let what = format!("{code} is served at version {version}");
    world.until(&what, async || world.tenant(code).await == Some(("active".to_owned(), i32::try_from(version).ok()))).await;
    let school = world.ready("district", code).await;
    world
        .until(&format!("{code}'s status says version {version}"), async || {
            let status = world.schools("district").get(code).await.unwrap().status.unwrap();
            status.schema.is_some_and(|schema| (schema.version, schema.target) == (Some(version), Some(version)))
        })
        .await;
    school
}

/// A world with five schools at the built-in version, each with a class.
async fn settled() -> (World, u32) {
    let world = World::new(Setup::default()).await;
    world.namespace("district").await;
    for (code, tier) in [("alder", "standard"), ("birch", "premium"), ("cedar", "standard"), ("dogwood", "standard"), ("elm", "premium")] {
        world.apply_school("district", code, json!({"placement": {"tier": tier}})).await;
    }
    for code in ["alder", "birch", "cedar", "dogwood", "elm"] {
        world.ready("district", code).await;
        let mut conn = log_in(&world.secret("district", &format!("{code}-db")).await.unwrap(), None).await.unwrap();
        conn.execute("INSERT INTO app.classes (name, school_year) VALUES ('Ducklings', 2026)").await.unwrap();
    }
    (world, Migrations::tenant().unwrap().target())
}

/// New schools start where the others now are, from a new template; nothing of the old one is left.
async fn new_schools_start_at(world: &World, new: u32, newer: &Path) {
    for (code, tier) in [("fir", "standard"), ("gum", "premium")] {
        world.apply_school("district", code, json!({"placement": {"tier": tier}})).await;
        at_version(world, code, new).await;
    }
    let digest = digest(newer);
    for (name, server) in [("pg-18", &world.pg18), ("pg-15", &world.pg15)] {
        world.server_when(name, "Ready", "True", "Ready").await;
        let query = "SELECT coalesce(string_agg(datname, ','), '') FROM pg_database WHERE datname ~ '^dc_(template|building|spare)'";
        world
            .until(&format!("{name} holds one template and no old spare"), async || {
                let names = query_value::<String>(server, "postgres", query).await;
                names.contains(&format!("dc_template_{digest}")) && names.split(',').all(|name| name.contains(&digest))
            })
            .await;
        let reported = async || world.servers().get(name).await.unwrap().status.unwrap().schema.unwrap().version == Some(new);
        world.until(&format!("{name} reports the new version"), reported).await;
    }
}

/// The busy school is migrated once its reader is gone, the mended one when a person requests it, the closed one when it opens.
async fn those_held_up_follow(world: &World, reader: PgConnection, old: u32, new: u32) {
    assert_eq!(recorded_version(&world.pg15, "elm").await, u64::from(old));
    drop(reader);
    at_version(world, "elm", new).await;
    order(&world.pg18, "dailycare_tenant_dogwood", "UPDATE app.classes SET name = 'Mended' WHERE name = 'Blocked'").await;
    let annotation = Patch::Merge(json!({"metadata": {"annotations": {"dailycare.io/requestedAt": "2026-09-01T08:00:00Z"}}}));
    world.schools("district").patch("dogwood", &PatchParams::default(), &annotation).await.unwrap();
    at_version(world, "dogwood", new).await;
    world.school_when("district", "cedar", "Ready", "True", "Suspended").await;
    assert_eq!(recorded_version(&world.pg18, "cedar").await, u64::from(old), "a closed school is left alone");
    world.apply_school("district", "cedar", json!({"placement": {"tier": "standard"}, "state": "Active"})).await;
    at_version(world, "cedar", new).await;
}

#[test]
fn every_school_is_migrated_by_itself_and_what_stops_one_stops_no_other() {
    run(async {
        let (mut world, old) = settled().await;
        let new = old + 1;
        let file = format!("{new:04}_witness.sql");
        let newer = schema(&[(&file, WITNESS)]);
        // One is closed, one has data that the file refuses, one is being read.
        world.apply_school("district", "cedar", json!({"placement": {"tier": "standard"}, "state": "Suspended"})).await;
        world.school_when("district", "cedar", "Ready", "True", "Suspended").await;
        order(&world.pg18, "dailycare_tenant_dogwood", "INSERT INTO app.classes (name, school_year) VALUES ('Blocked', 2026)").await;
        let mut reader = World::superuser(&world.pg15, "dailycare_tenant_elm").await;
        reader.execute("SET idle_in_transaction_session_timeout = 0").await.unwrap();
        reader.execute("BEGIN; LOCK TABLE app.classes IN ACCESS SHARE MODE").await.unwrap();
        world.replace_operator(&["--schema-dir", newer.path().to_str().unwrap()]).await;

        for code in ["alder", "birch"] {
            at_version(&world, code, new).await;
            let mut conn = log_in(&world.secret("district", &format!("{code}-db")).await.unwrap(), None).await.unwrap();
            let witness: (String, String, i64) =
                sqlx::query_as("SELECT who, acting, classes FROM app.witness").fetch_one(&mut conn).await.unwrap();
            assert_eq!(witness, ("dailycare_migrator".to_owned(), "tenant_owner".to_owned(), 1));
            let kept: String = sqlx::query_scalar("SELECT name FROM app.classes WHERE mascot IS NULL").fetch_one(&mut conn).await.unwrap();
            assert_eq!(kept, "Ducklings");
        }
        let failed = world.school_when("district", "dogwood", "Stalled", "True", "MigrationFailed").await;
        for kind in ["Ready", "SchemaReady"] {
            assert!(says(&failed, kind, "False", "MigrationFailed"), "{:#?}", conditions(Some(&failed)));
            assert_eq!(message(&failed, kind), format!("migration {file} failed (SQLSTATE 23514)"), "and no row is quoted");
        }
        assert!(says(&failed, "Available", "True", "Serving"), "it is served on as it was: {:#?}", conditions(Some(&failed)));
        assert_eq!(recorded_version(&world.pg18, "dogwood").await, u64::from(old));
        assert!(query_value::<bool>(&world.pg18, "dailycare_tenant_dogwood", "SELECT to_regclass('app.witness') IS NULL").await);

        new_schools_start_at(&world, new, newer.path()).await;
        those_held_up_follow(&world, reader, old, new).await;
        world.assert_all_statuses_are_true().await;
    });
}

#[test]
fn a_school_that_is_ahead_or_was_migrated_by_other_files_is_served_on_and_left_alone() {
    run(async {
        let (mut world, old) = settled().await;
        let new = old + 1;
        let next = format!("{new:04}_mascots.sql");
        let newer = schema(&[(&next, "CREATE TABLE app.mascots (name text PRIMARY KEY);")]);
        world.replace_operator(&["--schema-dir", newer.path().to_str().unwrap()]).await;
        for code in ["alder", "birch"] {
            at_version(&world, code, new).await;
        }

        world.replace_operator(&[]).await;
        for (code, server) in [("alder", &world.pg18), ("birch", &world.pg15)] {
            let school = world.school_when("district", code, "Stalled", "True", "AheadOfOperator").await;
            assert!(says(&school, "SchemaReady", "False", "AheadOfOperator"), "{:#?}", conditions(Some(&school)));
            assert!(says(&school, "Available", "True", "Serving"), "{:#?}", conditions(Some(&school)));
            assert_eq!(recorded_version(server, if code == "alder" { "alder" } else { "birch" }).await, u64::from(new));
            log_in(&world.secret("district", &format!("{code}-db")).await.unwrap(), None).await.unwrap();
        }

        // The same numbers, but a released file says something else.
        let first = fs::read_dir(built_in()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).min().unwrap();
        let edited = fs::read_to_string(built_in().join(&first)).unwrap() + "\n-- one more word\n";
        let further = format!("{:04}_never_run.sql", new + 1);
        let files = [
            (first.as_str(), edited.as_str()),
            (&next, "CREATE TABLE app.mascots (name text PRIMARY KEY);"),
            (&further, "CREATE TABLE app.never_run ();"),
        ];
        let other = schema(&files);
        world.replace_operator(&["--schema-dir", other.path().to_str().unwrap()]).await;
        for code in ["alder", "birch", "cedar"] {
            let school = world.school_when("district", code, "Stalled", "True", "SchemaEdited").await;
            assert!(says(&school, "Available", "True", "Serving"), "{:#?}", conditions(Some(&school)));
        }
        assert_eq!(recorded_version(&world.pg18, "alder").await, u64::from(new));
        assert!(query_value::<bool>(&world.pg18, "dailycare_tenant_alder", "SELECT to_regclass('app.never_run') IS NULL").await);

        world.replace_operator(&["--schema-dir", newer.path().to_str().unwrap()]).await;
        for code in ["alder", "birch", "cedar"] {
            at_version(&world, code, new).await;
        }
        world.assert_all_statuses_are_true().await;
    });
}

#[test]
fn an_operator_whose_schema_is_broken_refuses_to_start_and_says_why() {
    let gap = schema(&[("9999_after_a_gap.sql", "SELECT 1;")]);
    let misnamed = schema(&[("witness.sql", "SELECT 1;")]);
    let next = format!("{:04}_commits.sql", Migrations::tenant().unwrap().target() + 1);
    let committing = schema(&[(&next, "CREATE TABLE app.half (); COMMIT; SELECT 1 / 0;")]);
    let empty = tempfile::tempdir().unwrap();
    let nowhere = empty.path().join("nowhere");
    let cases = [
        (gap.path(), "9999_after_a_gap.sql should have the number"),
        (committing.path(), "has a transaction statement (its statement 2)"),
        (misnamed.path(), "witness.sql must be named NNNN_name.sql"),
        (empty.path(), "there are no migrations"),
        (&nowhere, "reading the migrations in"),
    ];
    for (directory, why) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
        command.args(["operator", "--http-address", "127.0.0.1:0", "--schema-dir"]).arg(directory);
        command.args(["--master-url", "postgres://nobody@127.0.0.1:1/none", "--sealing-key-file", "none", "--no-leader-election"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
