//! The API server as the operator meets it: silent for a while, and granting no more than it must.

use std::collections::BTreeSet;
use std::path::Path;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testing::{Operator, Postgres, PostgresOptions, Version};

use crate::fleet::{query_value, tenants_on};
use crate::world::{SYSTEM, Setup, World, conditions, log_in, run, says};

#[test]
fn work_resumes_after_the_api_server_was_silent_longer_than_a_call_may_take() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let codes: Vec<_> = (0..16).map(|n| format!("silent-{n:02}")).collect();
        join_all(codes.iter().map(|code| world.apply_school(&namespace, code, json!({})))).await;
        world.until("work is in full swing", async || tenants_on(&world.pg18).await.0.len() >= 3).await;
        world.plane.apiserver().pause().unwrap();
        world.until("calls are given up", async || world.operator.log().contains("did not end within 10 s")).await;
        assert!(world.operator.process().is_alive());
        world.plane.apiserver().resume().unwrap();
        for code in &codes {
            world.ready(&namespace, code).await;
            log_in(&world.secret(&namespace, &format!("{code}-db")).await.unwrap(), None).await.unwrap();
        }
        let (databases, logins) = tenants_on(&world.pg18).await;
        assert_eq!((databases.len(), logins.len()), (16, 16), "{databases:?} {logins:?}");
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &namespace).list(&ListParams::default()).await.unwrap();
        assert_eq!(secrets.items.len(), 32);
        assert_eq!(
            query_value::<i64>(&world.pg18, "dailycare_master", "SELECT count(*) FROM registry.users WHERE tenant_id IS NOT NULL").await,
            16
        );
        world.assert_statuses_are_true(&namespace).await;
    });
}

const OPERATOR: &str = "system:serviceaccount:dailycare-system:dailycare-operator";

/// The documents of `config/rbac/operator.yaml`.
fn manifest() -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rbac/operator.yaml")).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| serde::Deserialize::deserialize(document).unwrap()).collect()
}

pub async fn apply<K>(api: Api<K>, object: &Value)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = object["metadata"]["name"].as_str().unwrap();
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
}

async fn grant(world: &World) {
    let client = || world.client.clone();
    for object in manifest() {
        match object["kind"].as_str().unwrap() {
            "ClusterRole" => apply(Api::<ClusterRole>::all(client()), &object).await,
            "ClusterRoleBinding" => apply(Api::<ClusterRoleBinding>::all(client()), &object).await,
            "Role" => apply(Api::<Role>::namespaced(client(), SYSTEM), &object).await,
            "RoleBinding" => apply(Api::<RoleBinding>::namespaced(client(), SYSTEM), &object).await,
            other => assert_eq!(other, "ServiceAccount"),
        }
    }
}

/// Each verb on each resource that the manifest grants.
fn granted() -> BTreeSet<(String, String, String)> {
    let mut granted = BTreeSet::new();
    for object in manifest() {
        let rules: Vec<PolicyRule> = serde_json::from_value(object["rules"].clone()).unwrap_or_default();
        for rule in rules {
            for (group, resource) in
                rule.api_groups.iter().flatten().flat_map(|group| rule.resources.iter().flatten().map(move |r| (group, r)))
            {
                granted.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
    }
    granted
}

/// A world whose operator is the service account of the manifest, leader election included.
pub async fn limited() -> World {
    let mut world = World::new(Setup::default()).await;
    world.operator.stop().await.unwrap();
    let kubeconfig = world.plane.service_account(SYSTEM, "dailycare-operator").await.unwrap();
    grant(&world).await;
    world.options.kubeconfig = kubeconfig;
    world.options.arguments.retain(|argument| argument != "--no-leader-election");
    world.operator = Operator::start(&world.options).unwrap();
    world
}

#[test]
fn the_rights_that_are_granted_are_the_rights_that_a_whole_life_needs() {
    run(async {
        let mut world = limited().await;
        let namespace = world.fresh_namespace().await;
        let server = Postgres::start(Version::V15, PostgresOptions::default()).await.unwrap();
        world.add_server("own", &server, &["standard"]).await;
        let spec = json!({"placement": {"serverName": "own"}, "deletionPolicy": "Delete"});
        world.apply_school(&namespace, "life", spec.clone()).await;
        world.ready(&namespace, "life").await;
        let mut suspended = spec.clone();
        suspended["state"] = json!("Suspended");
        world.apply_school(&namespace, "life", suspended).await;
        world.school_when(&namespace, "life", "Ready", "True", "Suspended").await;
        world.apply_school(&namespace, "life", spec).await;
        world.ready(&namespace, "life").await;
        // A hand that spoiled a key is corrected.
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &namespace);
        let spoil = Patch::Merge(json!({"stringData": {"host": "elsewhere"}}));
        secrets.patch("life-db", &PatchParams::default(), &spoil).await.unwrap();
        let annotation = Patch::Merge(json!({"metadata": {"annotations": {"dailycare.io/requestedAt": "now"}}}));
        world.schools(&namespace).patch("life", &PatchParams::default(), &annotation).await.unwrap();
        world.until("the Secret is corrected", async || world.secret(&namespace, "life-db").await.unwrap()["host"] == "127.0.0.1").await;
        world.delete_school(&namespace, "life").await;
        world.servers().delete("own", &DeleteParams::default()).await.unwrap();
        world.until("the server is let go", async || world.servers().get_opt("own").await.unwrap().is_none()).await;
        world.operator.stop().await.unwrap();

        let requests = world.requests_of(OPERATOR);
        let refused: Vec<_> = requests.iter().filter(|request| request.code == 403).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let used: BTreeSet<_> = requests
            .into_iter()
            .map(|request| (request.group, request.resource, request.verb))
            .filter(|(_, resource, _)| !resource.is_empty())
            .collect();
        assert_eq!(used, granted());
        world.assert_statuses_are_true(&namespace).await;
    });
}

/// Binds the operator to a role of this name in one namespace.
pub fn binding(name: &str, kind: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "dailycare-operator", "namespace": SYSTEM}]})
}

#[test]
fn a_right_that_is_missing_in_one_namespace_is_named_there_and_nobody_else_waits() {
    run(async {
        let world = limited().await;
        let (whole, short) = (world.fresh_namespace().await, world.fresh_namespace().await);
        let client = || world.client.clone();
        Api::<ClusterRoleBinding>::all(client()).delete("dailycare-operator-schools", &DeleteParams::default()).await.unwrap();
        apply(Api::<RoleBinding>::namespaced(client(), &whole), &binding("dailycare-operator-schools", "ClusterRole")).await;
        let all_but_create = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "all-but-create"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"]}]});
        apply(Api::<Role>::namespaced(client(), &short), &all_but_create).await;
        apply(Api::<RoleBinding>::namespaced(client(), &short), &binding("all-but-create", "Role")).await;

        world.apply_school(&short, "denied", json!({})).await;
        let denied = world.school_when(&short, "denied", "Reconciling", "True", "ProgressingWithRetry").await;
        let ready = conditions(Some(&denied)).into_iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "False");
        for part in ["creating the Secret failed", "cannot create resource \"secrets\"", &format!("in the namespace \"{short}\"")] {
            assert!(ready.message.contains(part), "{part}: {}", ready.message);
        }
        assert!(says(&denied, "Stalled", "False", "ProgressingWithRetry"));
        for code in ["granted-1", "granted-2"] {
            world.apply_school(&whole, code, json!({})).await;
            world.ready(&whole, code).await;
        }
        // Granting it is enough; nobody has to touch the School.
        apply(Api::<RoleBinding>::namespaced(client(), &short), &binding("dailycare-operator-schools", "ClusterRole")).await;
        world.ready(&short, "denied").await;
        for namespace in [&whole, &short] {
            world.assert_statuses_are_true(namespace).await;
        }
    });
}
