//! What an operator that has ended had sent already, and what lands after its successor has looked.

use kube::api::DeleteParams;
use operator::kubernetes::cluster::cluster_uid;
use postgres::schema::Migrations;
use provisioning::server::ownership::{DatabaseComment, LoginComment, OwnershipComment as _};
use serde_json::json;
use uuid::Uuid;

use crate::sources::{execute, json_of, names};
use crate::world::{Setup, World, run};

#[test]
fn a_claim_that_outlives_its_operator_is_waited_for_before_its_school_is_forgotten() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        // Server and master database are prepared once a School is Ready.
        world.apply_school(&namespace, "early", json!({})).await;
        world.ready(&namespace, "early").await;
        world.operator.stop().await.unwrap();
        world.start_operator(&[("DAILYCARE_ABORT", "before:claim_database")]);
        world.apply_school(&namespace, "tardy", json!({"deletionPolicy": "Delete"})).await;
        assert!(matches!(world.operator.ended().await, Ok(Some(134))), "{}", world.log_tail());
        let school = world.schools(&namespace).get("tardy").await.unwrap();
        let names = names(&school);

        // The second message of a claim, as the server executes it for an operator that is gone: not committed yet.
        let uid = domain::names::SchoolUid(Uuid::parse_str(&school.metadata.uid.unwrap()).unwrap());
        let (tenant, cluster, migrations) = (names.tenant, cluster_uid(&world.client).await.unwrap(), Migrations::tenant().unwrap());
        let comment = DatabaseComment { tenant, school: uid, cluster, schema: migrations.target(), digest: migrations.digest().to_owned() };
        let login_comment = LoginComment { tenant, school: uid, cluster, password: String::new() };
        let mut claim = World::superuser(&world.pg18, "postgres").await;
        let spare = json_of(&mut claim, "SELECT datname::text FROM pg_database WHERE datname ~ '^dc_spare_' LIMIT 1").await;
        for statement in [
            "BEGIN".to_owned(),
            format!("SELECT pg_advisory_xact_lock(hashtextextended('dailycare {}', 0))", names.database),
            format!("CREATE ROLE {} LOGIN IN ROLE tenant_app", names.login),
            format!("COMMENT ON ROLE {} IS '{}'", names.login, login_comment.text()),
            format!("ALTER DATABASE {} RENAME TO {}", spare["datname"].as_str().unwrap(), names.database),
            format!("COMMENT ON DATABASE {} IS '{}'", names.database, comment.text()),
            format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", names.database),
            format!("GRANT CONNECT ON DATABASE {} TO {}, dailycare_migrator", names.database, names.login),
            format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", names.database),
        ] {
            execute(&mut claim, &statement).await;
        }

        let schools = world.schools(&namespace);
        schools.delete("tardy", &DeleteParams::default()).await.unwrap();
        world.start_operator(&[]);
        let waits = "SELECT count(*) AS waiting FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let decided = async || {
            let waiting = json_of(&mut World::superuser(&world.pg18, "postgres").await, waits).await["waiting"] == 1;
            waiting || schools.get_opt("tardy").await.unwrap().is_none()
        };
        world.until("the successor waits for the claim, or forgets the School", decided).await;
        execute(&mut claim, "COMMIT").await;
        world.until("the School is gone", async || schools.get_opt("tardy").await.unwrap().is_none()).await;
        assert_eq!(world.owned_objects(&names).await, Vec::<String>::new(), "what landed late outlives its School");
        assert_eq!(world.tenant_row(&names).await["state"], "deleted");
        world.assert_statuses_are_true(&namespace).await;
    });
}
