//! Secrets that the operator may not read: they keep no school open, no School from being deleted, and no namespace from going.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testing::{Postgres, PostgresOptions, Version};
use tokio::sync::OnceCell;

use crate::apiserver::{apply, binding, limited};
use crate::fleet::tenants_on;
use crate::sources::{database, names, role};
use crate::world::{World, conditions, log_in, run, says, sqlstate};

const RIGHTS: &str = "dailycare-operator-schools";

/// A world whose operator may touch Secrets only in namespaces that bind it to its role.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(|| async {
            let world = limited().await;
            Api::<ClusterRoleBinding>::all(world.client.clone()).delete(RIGHTS, &DeleteParams::default()).await.unwrap();
            world
        })
        .await
}

fn bindings(world: &World, namespace: &str) -> Api<RoleBinding> {
    Api::namespaced(world.client.clone(), namespace)
}

async fn namespace_with_rights(world: &World) -> String {
    let namespace = world.fresh_namespace().await;
    apply(bindings(world, &namespace), &binding(RIGHTS, "ClusterRole")).await;
    namespace
}

async fn take_rights(world: &World, namespace: &str) {
    bindings(world, namespace).delete(RIGHTS, &DeleteParams::default()).await.unwrap();
}

#[test]
fn a_school_whose_secrets_are_forbidden_is_suspended_and_its_neighbour_stays_served() {
    run(async {
        let world = world().await;
        let namespace = namespace_with_rights(world).await;
        for code in ["finch", "firecrest"] {
            world.apply_school(&namespace, code, json!({"placement": {"serverName": "pg-18"}})).await;
        }
        let suspended = names(&world.ready(&namespace, "finch").await);
        let served = names(&world.ready(&namespace, "firecrest").await);
        let secret = world.secret(&namespace, "finch-db").await.unwrap();
        take_rights(world, &namespace).await;

        world.merge_school(&namespace, "finch", json!({"spec": {"state": "Suspended"}})).await.unwrap();
        let school = world.school_when(&namespace, "finch", "Ready", "True", "Suspended").await;
        assert!(says(&school, "Suspended", "True", "Suspended"));
        assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("28000"));
        assert_eq!(world.tenant_row(&suspended).await["state"], "suspended");

        world.request_reconcile(&namespace, "firecrest").await;
        let school = world.school_when(&namespace, "firecrest", "Reconciling", "True", "ProgressingWithRetry").await;
        let said = conditions(Some(&school)).into_iter().find(|condition| condition.type_ == "Reconciling").unwrap().message;
        assert!(said.contains("cannot get resource \"secrets\"") && said.contains(&namespace), "{said}");
        assert!(
            says(&school, "Ready", "True", "Ready") && says(&school, "Available", "True", "Serving"),
            "{:#?}",
            conditions(Some(&school))
        );
        assert!(world.serves(&namespace, &served).await);
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_namespace_whose_rights_go_before_its_schools_is_deleted_all_the_same() {
    run(async {
        let world = world().await;
        let namespace = namespace_with_rights(world).await;
        let policies = [("fulmar-1", "Delete", "standard", "pg-18"), ("fulmar-2", "Retain", "premium", "pg-15")];
        for (code, policy, tier, server) in policies {
            let placement = json!({"tier": tier, "serverName": server});
            world.apply_school(&namespace, code, json!({"deletionPolicy": policy, "placement": placement})).await;
        }
        let [dropped, kept] =
            [world.ready(&namespace, "fulmar-1").await, world.ready(&namespace, "fulmar-2").await].map(|school| names(&school));
        take_rights(world, &namespace).await;
        let namespaces = Api::<Namespace>::all(world.client.clone());
        namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
        world.until("the namespace is gone", async || namespaces.get_opt(&namespace).await.unwrap().is_none()).await;
        assert!(world.owned_objects(&dropped).await.is_empty());
        assert_eq!(database(&mut world.beside(&dropped).await, dropped.database.as_str()).await, Value::Null);
        assert_eq!(world.tenant_row(&dropped).await["state"], "deleted");
        assert_eq!(world.owned_objects(&kept).await, [kept.database.as_str(), kept.login.as_str()]);
        assert_eq!(role(&mut world.beside(&kept).await, kept.login.as_str()).await["rolcanlogin"], false);
        assert_eq!(world.tenant_row(&kept).await["state"], "retained");
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_namespace_without_rights_waits_for_a_server_that_is_down_says_so_and_goes_when_it_is_back() {
    run(async {
        let world = world().await;
        let mut server = Postgres::start(Version::V15, PostgresOptions::default()).await.unwrap();
        world.add_server("frigate", &server, &["standard"]).await;
        let namespace = namespace_with_rights(world).await;
        world.apply_school(&namespace, "frigate", json!({"placement": {"serverName": "frigate"}, "deletionPolicy": "Delete"})).await;
        world.ready(&namespace, "frigate").await;
        server.kill9().await.unwrap();
        world.server_when("frigate", "Reachable", "False", "DatabaseUnreachable").await;
        take_rights(world, &namespace).await;
        let namespaces = Api::<Namespace>::all(world.client.clone());
        namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
        let school = world.school_when(&namespace, "frigate", "Reconciling", "True", "DatabaseUnreachable").await;
        assert!(says(&school, "Ready", "False", "Terminating"), "{:#?}", conditions(Some(&school)));
        assert_eq!(world.tenant("frigate").await.unwrap().0, "suspended", "its route stops although its server is down");
        server.start_again().await.unwrap();
        world.until("the namespace is gone", async || namespaces.get_opt(&namespace).await.unwrap().is_none()).await;
        assert_eq!(tenants_on(&server).await, (vec![], vec![]));
        world.assert_statuses_are_true(&namespace).await;
    });
}
