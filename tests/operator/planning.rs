//! `dailycare plan`: tells the next step and why, with rights to read only, and changes nothing.

use std::path::Path;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::fleet::{catalog, server_spec};
use crate::world::{SYSTEM, Setup, World, run};

const PLANNER: &str = "system:serviceaccount:dailycare-system:planner";

/// May read what a plan is made of.
async fn allow_reading(world: &World) {
    let role = json!({"metadata": {"name": "planner"}, "rules": [
        {"apiGroups": ["dailycare.io"], "resources": ["schools", "databaseservers"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["secrets", "namespaces"], "verbs": ["get"]},
    ]});
    let binding = json!({"metadata": {"name": "planner"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "planner"},
        "subjects": [{"kind": "ServiceAccount", "name": "planner", "namespace": SYSTEM}]});
    let role: ClusterRole = serde_json::from_value(role).unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
    Api::all(world.client.clone()).create(&PostParams::default(), &role).await.unwrap();
    Api::all(world.client.clone()).create(&PostParams::default(), &binding).await.unwrap();
}

fn text(world: &World, kubeconfig: &Path, object: &str, namespace: &str) -> String {
    let output = world.program(kubeconfig, &["plan", object, "-n", namespace]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn document(world: &World, kubeconfig: &Path, name: &str, namespace: &str) -> Value {
    let output = world.program(kubeconfig, &["plan", &format!("school/{name}"), "-n", namespace, "-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The registry, row by row.
async fn registry(world: &World) -> Vec<String> {
    let query = "SELECT t::text FROM registry.tenants t UNION ALL SELECT u::text FROM registry.users u ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(&mut world.master().await).await.unwrap()
}

#[test]
fn a_plan_shows_the_next_action_for_every_kind_of_school_and_changes_nothing() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let (ours, theirs) = (world.fresh_namespace().await, world.fresh_namespace().await);
        world.apply_school(&ours, "alder", json!({})).await;
        world.apply_school(&ours, "birch", json!({"placement": {"tier": "premium"}, "deletionPolicy": "Delete"})).await;
        world.ready(&ours, "alder").await;
        world.ready(&ours, "birch").await;
        world.apply_school(&theirs, "alder", json!({})).await;
        world.school_when(&theirs, "alder", "Stalled", "True", "NameConflict").await;
        world.operator.stop().await.unwrap();
        world.apply_school(&ours, "cedar", json!({})).await;
        world.schools(&ours).delete("birch", &DeleteParams::default()).await.unwrap();
        let kubeconfig = world.plane.service_account(SYSTEM, "planner").await.unwrap();
        allow_reading(&world).await;
        let before = (catalog(&world.pg18).await, catalog(&world.pg15).await, registry(&world).await);

        let new = text(&world, &kubeconfig, "school/cedar", &ours);
        for line in
            ["finalizer      absent", "would go to    pg-18 (", "Next action\n  add_finalizer\n", "Ready             False Provisioning"]
        {
            assert!(new.contains(line), "{line}\n{new}");
        }
        let ready = text(&world, &kubeconfig, "sch/alder", &ours);
        for line in [
            "server         pg-18",
            "dailycare_tenant_alder Ours",
            "Next action\n  none\n  nothing is left to do",
            "Ready             True Ready",
        ] {
            assert!(ready.contains(line), "{line}\n{ready}");
        }
        let refused = document(&world, &kubeconfig, "alder", &theirs);
        assert_eq!(refused["next"], json!({"action": "none", "why": "refused: NameConflict; a person must decide"}));
        assert!(refused["conditions"]["Stalled"].as_str().unwrap().starts_with("True NameConflict"), "{refused:#}");
        assert_eq!(refused["school"], json!({"namespace": theirs, "name": "alder"}));
        let leaving = document(&world, &kubeconfig, "birch", &ours);
        assert_eq!(leaving["next"]["action"], "set_tenant_state", "{leaving:#}");
        assert_eq!(leaving["observed"]["server"], "pg-15", "{leaving:#}");

        let missing = world.program(&kubeconfig, &["plan", "school/nobody", "-n", &ours]).output().unwrap();
        assert_eq!(missing.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&missing.stderr).contains("reading the School failed"));
        let senseless = world.program(&kubeconfig, &["plan", "databaseserver/pg-18"]).output().unwrap();
        assert_eq!(senseless.status.code(), Some(2));
        for secret in [world.pg18.superuser_password(), &world.secret(&ours, "alder-db").await.unwrap()["password"]] {
            assert!(!(new.clone() + &ready + &refused.to_string()).contains(secret));
        }

        let requests = world.requests_of(PLANNER);
        assert!(requests.iter().any(|request| request.resource == "schools"), "{requests:?}");
        assert!(
            requests.iter().all(|request| ["get", "list"].contains(&request.verb.as_str()) && [200, 404].contains(&request.code)),
            "{requests:?}"
        );
        assert_eq!((catalog(&world.pg18).await, catalog(&world.pg15).await, registry(&world).await), before);
    });
}

#[test]
fn a_plan_counts_the_places_that_others_take() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        world.apply_server("pg-18", server_spec("pg-18", world.pg18.port(), &json!({"capacity": {"maxSchools": 2}}))).await;
        let pinned = json!({"placement": {"serverName": "pg-18"}});
        for code in ["elder", "fig"] {
            world.apply_school(&namespace, code, pinned.clone()).await;
            world.ready(&namespace, code).await;
        }
        // One place is known to the registry only, one to a status only.
        world.delete_school(&namespace, "elder").await;
        world.operator.stop().await.unwrap();
        sqlx::raw_sql("UPDATE registry.tenants SET server = 'pg-15' WHERE code = 'fig'").execute(&mut world.master().await).await.unwrap();
        world.apply_school(&namespace, "gorse", pinned).await;
        let annotation = Patch::Merge(json!({"metadata": {"finalizers": ["dailycare.io/school-cleanup"]}}));
        world.schools(&namespace).patch("gorse", &PatchParams::default(), &annotation).await.unwrap();
        let kubeconfig = world.plane.service_account(SYSTEM, "planner").await.unwrap();
        allow_reading(&world).await;
        let planned = document(&world, &kubeconfig, "gorse", &namespace);
        assert!(planned["conditions"]["ServerAssigned"].as_str().unwrap().starts_with("False NoCapacity"), "{planned:#}");
        assert!(planned.to_string().contains("pg-18 holds 2 of 2 schools"), "{planned:#}");
    });
}
