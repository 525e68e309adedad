//! The cluster was rebuilt, or its Schools were deleted and applied again, and the databases are all there: what the operator says, and that nothing is lost.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use operator::crd::{School, print};
use serde_json::{Value, json};
use testing::{ControlPlane, Postgres, kubernetes};

use crate::fleet::{query_value, server_message};
use crate::sources::names;
use crate::world::{SYSTEM, Setup, World, conditions, log_in, run};

/// Every database and role with its comment, but for what a session does by itself.
const COMMENTS: &str = "SELECT string_agg(comment, E'\\n' ORDER BY comment) FROM (
    SELECT datname || ' ' || coalesce(shobj_description(oid, 'pg_database'), '') || ' ' || coalesce(datacl::text, '') AS comment FROM pg_database
    UNION ALL SELECT rolname || ' ' || rolcanlogin || coalesce(shobj_description(oid, 'pg_authid'), '') || coalesce(rolpassword, '') FROM pg_authid) AS comments";
const ROWS: &str = "SELECT string_agg(row::text, E'\n' ORDER BY row::text) FROM registry.tenants AS row";

async fn comments(server: &Postgres) -> String {
    query_value(server, "postgres", COMMENTS).await
}

fn message(school: &School) -> String {
    conditions(Some(school)).into_iter().find(|condition| condition.type_ == "Ready").unwrap().message
}

/// The school's route stands in the registry as it stood, and its login works with the password that applications and the API have.
async fn still_served(world: &World, school: &School, secret: &BTreeMap<String, String>) {
    assert_eq!(world.tenant_row(&names(school)).await["state"], Value::from("active"));
    log_in(secret, None).await.unwrap();
}

#[test]
fn in_a_rebuilt_cluster_servers_and_schools_say_that_another_cluster_has_them_and_everything_goes_on_as_it_was() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let (namespace, spec) = ("rebuilt", json!({"placement": {"serverName": "pg-18"}}));
        world.namespace(namespace).await;
        world.apply_school(namespace, "northside", spec.clone()).await;
        let school = world.ready(namespace, "northside").await;
        let secret = world.secret(namespace, "northside-db").await.unwrap();
        world.operator.stop().await.unwrap();
        let before = (comments(&world.pg18).await, query_value::<String>(&world.pg18, "dailycare_master", ROWS).await);

        // The same manifests and Secrets in a new control plane, the same PostgreSQL and keys.
        world.plane = ControlPlane::private().await.unwrap();
        world.client = world.plane.client().await.unwrap();
        kubernetes::install_crds(&world.client, print::all()).await.unwrap();
        world.options.kubeconfig = world.plane.kubeconfig().to_owned();
        world.start_operator(&[]);
        world.namespace(SYSTEM).await;
        world.namespace(namespace).await;
        world.admin_secret("pg-18-admin", "postgres", world.pg18.superuser_password()).await;
        world.declare_server("pg-18", world.pg18.port(), &["standard", "basic"]).await;
        let server = world.server_when("pg-18", "Stalled", "True", "OwnedByAnother").await;
        let said = server_message(&server, "Ready");
        assert!(
            said.contains("another cluster or program made it")
                && said.contains("If this cluster was rebuilt, see docs/running/rebuild.md"),
            "{said}"
        );
        world.apply_school(namespace, "northside", spec).await;
        let refused = world.school_when(namespace, "northside", "Ready", "False", "ServerNotReady").await;
        assert!(
            message(&refused).contains("OwnedByAnother") && message(&refused).contains("docs/running/rebuild.md"),
            "{}",
            message(&refused)
        );

        let after = (comments(&world.pg18).await, query_value::<String>(&world.pg18, "dailycare_master", ROWS).await);
        assert_eq!(after, before, "something of the schools was changed");
        still_served(&world, &school, &secret).await;
        // A School that was refused owns nothing, and can go.
        world.delete_school(namespace, "northside").await;
        still_served(&world, &school, &secret).await;
    });
}

#[test]
fn a_school_that_was_deleted_with_retain_and_applied_again_is_told_which_tenant_keeps_its_data_and_what_can_be_done() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "pg-18"}});
        world.apply_school(&namespace, "northside", spec.clone()).await;
        let school = world.ready(&namespace, "northside").await;
        world.delete_school(&namespace, "northside").await;
        let kept = world.tenant_row(&names(&school)).await;
        world.apply_school(&namespace, "northside", spec).await;
        let refused = world.school_when(&namespace, "northside", "Stalled", "True", "NameConflict").await;
        let said = message(&refused);
        assert!(said.starts_with("another tenant holds the code northside; a School that was deleted with Retain, or in a cluster that was rebuilt, keeps it with its data"), "{said}");
        assert!(said.contains("docs/running/rebuild.md"), "{said}");
        // Taking the refused one away harms nothing of what is kept.
        world.delete_school(&namespace, "northside").await;
        let mut after = world.tenant_row(&names(&school)).await;
        after["updated_at"] = kept["updated_at"].clone();
        assert_eq!((after["state"].clone(), &after["database_name"]), (Value::from("retained"), &kept["database_name"]));
        let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", names(&school).database);
        let found: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(there)).fetch_one(&mut World::superuser(&world.pg18, "postgres").await).await.unwrap();
        assert_eq!(found, 1);
    });
}

#[test]
fn a_school_that_comes_back_from_a_backup_of_its_object_is_refused_while_the_school_is_served_and_its_data_stays() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "northside", json!({"placement": {"serverName": "pg-18"}})).await;
        let school = world.ready(&namespace, "northside").await;
        let secret = world.secret(&namespace, "northside-db").await.unwrap();
        // A backup has no uid, no status and no Secrets that Kubernetes deleted with their owner. The object went without the operator, as with its control plane.
        let schools = world.schools(&namespace);
        world.operator.process().pause().unwrap();
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        schools.patch("northside", &PatchParams::default(), &bare).await.unwrap();
        schools.delete("northside", &DeleteParams::default()).await.unwrap();
        world.until("the object is gone", async || schools.get_opt("northside").await.unwrap().is_none()).await;
        let restored = json!({"apiVersion": "dailycare.io/v1alpha1", "kind": "School",
            "metadata": {"name": "northside", "annotations": school.annotations(), "finalizers": school.finalizers()}, "spec": school.spec});
        schools.patch("northside", &PatchParams::apply("velero").force(), &Patch::Apply(restored)).await.unwrap();
        world.operator.process().resume().unwrap();
        let refused = world.school_when(&namespace, "northside", "Stalled", "True", "NameConflict").await;
        assert!(message(&refused).contains("docs/running/rebuild.md"), "{}", message(&refused));
        still_served(&world, &school, &secret).await;
        world.delete_school(&namespace, "northside").await;
        still_served(&world, &school, &secret).await;
    });
}
