//! A server is upgraded in place with PostgreSQL's own `pg_upgrade`, from the oldest version to the newest, under living schools.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use sqlx::Executor as _;
use testing::Version;

use crate::fleet::query_value;
use crate::world::{Setup, World, log_in, run};

const IDENTIFIER: &str = "SELECT system_identifier::text FROM pg_control_system()";

async fn marker(world: &World) -> Option<String> {
    world.servers().get("pg-15").await.unwrap().status.unwrap().marker
}

#[test]
fn a_server_upgraded_in_place_is_served_again_once_its_new_identity_is_accepted_and_not_before_all_schools_are_there() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        world.namespace("district").await;
        for (code, tier) in [("aspen", "premium"), ("beech", "premium"), ("larch", "standard")] {
            world.apply_school("district", code, json!({"placement": {"tier": tier}})).await;
        }
        for code in ["aspen", "beech", "larch"] {
            world.ready("district", code).await;
        }
        let secret = world.secret("district", "aspen-db").await.unwrap();
        log_in(&secret, None).await.unwrap().execute("INSERT INTO classes (name, school_year) VALUES ('Kept', 2026)").await.unwrap();
        let before = query_value::<String>(&world.pg15, "postgres", IDENTIFIER).await;
        let marker_before = marker(&world).await.unwrap();

        // Nobody has to stop the operator or to clear anything.
        world.pg15.stop().await.unwrap();
        world.pg15.upgrade(Version::V18).await.unwrap();
        let now = query_value::<String>(&world.pg15, "postgres", IDENTIFIER).await;
        assert_ne!(before, now);
        // The admin is no superuser: from 16 on it may change only roles that it was given for that, as docs/running/upgrade.md says.
        let grants = r#"DO $$ DECLARE ours name; BEGIN
            FOR ours IN SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE '{%"cluster":"%' LOOP
                EXECUTE format('GRANT %I TO operator_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', ours);
            END LOOP; END $$"#;
        sqlx::raw_sql(grants).execute(&mut World::superuser(&world.pg15, "postgres").await).await.unwrap();
        world.server_when("pg-15", "Ready", "False", "ServerIdentityMismatch").await;

        // A database that is not there under its ownership comment: nothing is accepted.
        let name = "dailycare_tenant_beech";
        let comment = query_value::<String>(
            &world.pg15,
            "postgres",
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'dailycare_tenant_beech'",
        )
        .await;
        let mut superuser = World::superuser(&world.pg15, "postgres").await;
        sqlx::raw_sql("COMMENT ON DATABASE dailycare_tenant_beech IS NULL").execute(&mut superuser).await.unwrap();
        let refused = world.program(world.plane.kubeconfig(), &["server", "accept-identity", "pg-15"]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(name) && said.contains("nothing was recorded"), "{refused:?}");
        assert!(!said.contains("aspen"), "what is there is named as missing: {said}");
        let recorded = async || world.servers().get("pg-15").await.unwrap().status.unwrap().system_identifier;
        assert_eq!(recorded().await.as_deref(), Some(before.as_str()));

        let restore = format!("COMMENT ON DATABASE dailycare_tenant_beech IS '{comment}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(restore)).execute(&mut superuser).await.unwrap();
        let accepted = world.program(world.plane.kubeconfig(), &["server", "accept-identity", "pg-15"]).output().unwrap();
        assert!(accepted.status.success(), "{accepted:?}");
        assert_eq!(recorded().await.as_deref(), Some(now.as_str()));
        world.server_when("pg-15", "Ready", "True", "Ready").await;
        let version = async || world.servers().get("pg-15").await.unwrap().status.unwrap().version.unwrap_or_default().starts_with("18");
        world.until("the server's new version is shown", version).await;
        assert_eq!(marker(&world).await, Some(marker_before), "pg_upgrade keeps the number of a role, by which its marker counts");
        for code in ["aspen", "beech", "larch"] {
            world.ready("district", code).await;
        }
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM classes WHERE name = 'Kept'")
            .fetch_one(&mut log_in(&secret, None).await.unwrap())
            .await
            .unwrap();
        assert_eq!(kept, 1);
        world.assert_all_statuses_are_true().await;
    });
}

/// A server whose object should go must not keep its schools for ever because it was upgraded in the meantime.
#[test]
fn the_new_identity_of_a_server_that_is_being_deleted_is_accepted_so_that_its_schools_can_be_deleted() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "alder", json!({"placement": {"tier": "premium"}, "deletionPolicy": "Delete"})).await;
        world.ready(&namespace, "alder").await;
        let now = query_value::<String>(&world.pg15, "postgres", IDENTIFIER).await;
        let deleting = async || world.servers().get("pg-15").await.unwrap().metadata.deletion_timestamp.is_some();
        world.servers().delete("pg-15", &DeleteParams::default()).await.unwrap();
        world.until("the object is being deleted and stays for its school", deleting).await;
        // As it is after `pg_upgrade`: what is recorded is another identifier than the server's.
        let before = Patch::Merge(json!({"status": {"systemIdentifier": "7000000000000000001"}}));
        world.servers().patch_status("pg-15", &PatchParams::default(), &before).await.unwrap();
        world.school_when(&namespace, "alder", "Ready", "False", "ServerIdentityMismatch").await;
        world.assert_statuses_are_true(&namespace).await;
        world.schools(&namespace).delete("alder", &DeleteParams::default()).await.unwrap();
        let waits = world.school_when(&namespace, "alder", "Stalled", "True", "ServerIdentityMismatch").await;
        assert!(waits.metadata.deletion_timestamp.is_some());

        let accepted = world.program(world.plane.kubeconfig(), &["server", "accept-identity", "pg-15"]).output().unwrap();
        assert!(accepted.status.success(), "{accepted:?}");
        let gone = async || world.schools(&namespace).get_opt("alder").await.unwrap().is_none();
        world.until("the school is gone", gone).await;
        world.until("and so is the server's object", async || world.servers().get_opt("pg-15").await.unwrap().is_none()).await;
        let left = "SELECT count(*) FROM pg_database WHERE datname = 'dailycare_tenant_alder'";
        assert_eq!(query_value::<i64>(&world.pg15, "postgres", left).await, 0);
        assert_eq!(query_value::<String>(&world.pg15, "postgres", IDENTIFIER).await, now);
        world.assert_all_statuses_are_true().await;
    });
}
