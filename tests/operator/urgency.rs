//! Taking a school out of service comes before everything else: before migrations that fill its server, and before its own.

use std::collections::BTreeSet;

use kube::api::DeleteParams;
use postgres::schema::Migrations;
use serde_json::json;

use crate::fleet::{order, query_value};
use crate::migrations::schema;
use crate::sources::{list, names};
use crate::world::{Setup, World, log_in, run, sqlstate};

/// In a school's database, waits for a role that the test creates.
const ENDLESS: &str = "
DO $$
BEGIN
    PERFORM set_config('application_name', 'endless', false);
    WHILE current_database() ~ '^dailycare_tenant_' AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'go_on') LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
";
const CODES: [&str; 6] = ["anemone", "bluebell", "crocus", "daisy", "erica", "freesia"];

/// The schools in whose database the file runs.
async fn migrating(world: &World) -> BTreeSet<String> {
    let query =
        "SELECT substr(datname, 18)::text FROM pg_stat_activity WHERE application_name = 'endless' AND datname ~ '^dailycare_tenant_'";
    list(&mut World::superuser(&world.pg18, "postgres").await, query).await.into_iter().collect()
}

#[test]
fn schools_are_suspended_and_deleted_while_migrations_fill_their_server() {
    run(async {
        let mut world = World::new(Setup { arguments: vec!["--concurrency".to_owned(), "2".to_owned()], ..Setup::default() }).await;
        world.namespace("district").await;
        for code in CODES {
            world.apply_school("district", code, json!({"deletionPolicy": "Delete"})).await;
        }
        for code in CODES {
            world.ready("district", code).await;
        }
        let new = Migrations::tenant().unwrap().target() + 1;
        let newer = schema(&[(&format!("{new:04}_endless.sql"), ENDLESS)]);
        world.replace_operator(&["--schema-dir", newer.path().to_str().unwrap()]).await;
        world.until("two schools are migrated", async || migrating(&world).await.len() == 2).await;
        let busy: Vec<_> = migrating(&world).await.into_iter().collect();
        let mut queued = CODES.into_iter().filter(|code| !busy.iter().any(|one| one == code));

        // Of those that wait for their migration, and of those in it.
        let (closing, leaving) = (queued.next().unwrap(), queued.next().unwrap());
        world.schools("district").delete(leaving, &DeleteParams::default()).await.unwrap();
        for code in [closing, &busy[0]] {
            let secret = world.secret("district", &format!("{code}-db")).await.unwrap();
            world.merge_school("district", code, json!({"spec": {"state": "Suspended"}})).await.unwrap();
            let school = world.school_when("district", code, "Ready", "True", "Suspended").await;
            assert_eq!(world.tenant_row(&names(&school)).await["state"], "suspended");
            assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("28000"));
        }
        world.until("the deleted one is gone", async || world.schools("district").get_opt(leaving).await.unwrap().is_none()).await;
        // The place of the one that was given up is another's now, and the other migration still runs.
        world
            .until("the next one is migrated", async || migrating(&world).await.difference(&busy.iter().cloned().collect()).count() == 1)
            .await;
        assert!(migrating(&world).await.contains(&busy[1]));

        order(&world.pg18, "postgres", "CREATE ROLE go_on").await;
        for code in queued.map(str::to_owned).chain([busy[1].clone()]) {
            let version = async || world.tenant(&code).await == Some(("active".to_owned(), i32::try_from(new).ok()));
            world.until(&format!("{code} is migrated"), version).await;
        }
        world.merge_school("district", &busy[0], json!({"spec": {"state": "Active"}})).await.unwrap();
        world.ready("district", &busy[0]).await;
        let database = format!("dailycare_tenant_{}", busy[0]);
        let recorded = query_value::<i64>(&world.pg18, &database, "SELECT max(version)::bigint FROM app.schema_migrations").await;
        assert_eq!(recorded, i64::from(new), "what was given up is done when the school is active again");
        world.assert_all_statuses_are_true().await;
    });
}
