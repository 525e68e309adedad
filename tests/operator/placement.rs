//! Where a School goes, and what it waits for.
//!
//! Servers that these tests add are their own and accept only the test's namespace, so that no other test meets them.

use kube::api::DeleteParams;
use operator::crd::School;
use serde_json::{Value, json};
use testing::{Postgres, PostgresOptions, Version};

use crate::sources::names;
use crate::world::{Setup, World, conditions, run};

/// A server of one test's own, and its admin Secret under the name of its object.
async fn own_server(world: &World, name: &str) -> Postgres {
    let server = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
    world.admin_secret(&format!("{name}-admin"), "postgres", server.superuser_password()).await;
    server
}

/// The object of such a server, for one namespace.
fn server_for(name: &str, server: &Postgres, namespace: &str, over: &Value) -> Value {
    let mut spec = json!({
        "host": "127.0.0.1", "port": server.port(), "tls": {"mode": "disable"}, "adminSecretRef": {"name": format!("{name}-admin")},
        "tiers": ["basic"],
        "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    });
    for (key, value) in over.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn pinned(server: &str) -> Value {
    json!({"placement": {"tier": "basic", "serverName": server}, "deletionPolicy": "Delete"})
}

fn message(school: &School) -> String {
    conditions(Some(school)).into_iter().find(|c| c.type_ == "Ready").unwrap().message
}

#[test]
fn a_full_server_takes_the_next_school_when_one_leaves_or_room_is_made() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let server = own_server(world, "pg-small").await;
        let capacity = async |most: u32| {
            world.apply_server("pg-small", server_for("pg-small", &server, &namespace, &json!({"capacity": {"maxSchools": most}}))).await;
        };
        capacity(1).await;
        world.apply_school(&namespace, "maple-1", pinned("pg-small")).await;
        let placed = world.ready(&namespace, "maple-1").await.status.unwrap().placement.unwrap();
        assert_eq!(placed.reason.as_deref(), Some("requested by name, offers tier basic"));

        world.apply_school(&namespace, "maple-2", pinned("pg-small")).await;
        let waiting = world.school_when(&namespace, "maple-2", "Stalled", "True", "NoCapacity").await;
        assert!(message(&waiting).contains("pg-small holds 1 of 1 schools"), "{}", message(&waiting));
        assert!(crate::world::says(&waiting, "ServerAssigned", "False", "NoCapacity"));
        assert_eq!(waiting.status.unwrap().tenant_id, None, "nothing is reserved for a School without a place");
        world.delete_school(&namespace, "maple-1").await;
        world.ready(&namespace, "maple-2").await;

        world.apply_school(&namespace, "maple-3", pinned("pg-small")).await;
        world.school_when(&namespace, "maple-3", "Stalled", "True", "NoCapacity").await;
        world.merge_school(&namespace, "maple-2", json!({"spec": {"deletionPolicy": "Retain"}})).await.unwrap();
        world.delete_school(&namespace, "maple-2").await;
        world.merge_school(&namespace, "maple-3", json!({"spec": {"displayName": "Still waiting"}})).await.unwrap();
        world.school_when(&namespace, "maple-3", "Stalled", "True", "NoCapacity").await;
        capacity(2).await;
        world.ready(&namespace, "maple-3").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn schools_applied_at_once_never_overfill_a_server() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let server = own_server(world, "pg-three").await;
        world.apply_server("pg-three", server_for("pg-three", &server, &namespace, &json!({"capacity": {"maxSchools": 3}}))).await;
        let codes: Vec<_> = (0..6).map(|n| format!("oak-{n}")).collect();
        futures::future::join_all(codes.iter().map(|code| world.apply_school(&namespace, code, pinned("pg-three")))).await;
        let counted = async |kind: &str, status: &str, reason: &str| {
            let schools = world.schools(&namespace).list(&kube::api::ListParams::default()).await.unwrap();
            schools.iter().filter(|school| crate::world::says(school, kind, status, reason)).count()
        };
        let filled = async || (counted("Ready", "True", "Ready").await, counted("Stalled", "True", "NoCapacity").await) == (3, 3);
        world.until("three are placed and three wait", filled).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_cordoned_server_keeps_its_schools_and_takes_no_more_until_it_is_opened() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let server = own_server(world, "pg-cordon").await;
        let schedulable = async |open: bool| {
            world.apply_server("pg-cordon", server_for("pg-cordon", &server, &namespace, &json!({"schedulable": open}))).await;
        };
        schedulable(true).await;
        world.apply_school(&namespace, "palm-1", pinned("pg-cordon")).await;
        world.ready(&namespace, "palm-1").await;
        schedulable(false).await;
        let cordoned = async || {
            let server = world.servers().get("pg-cordon").await.unwrap();
            let conditions = server.status.and_then(|status| status.conditions).unwrap_or_default();
            conditions.iter().any(|c| c.type_ == "Schedulable" && c.status == "False")
        };
        world.until("the server says that it is cordoned", cordoned).await;
        world.apply_school(&namespace, "palm-2", pinned("pg-cordon")).await;
        let waiting = world.school_when(&namespace, "palm-2", "Ready", "False", "ServerCordoned").await;
        assert!(message(&waiting).contains("pg-cordon is cordoned"), "{}", message(&waiting));
        let changed = json!({"spec": {"displayName": "Changed while its server is cordoned"}});
        world.merge_school(&namespace, "palm-1", changed).await.unwrap();
        world.ready(&namespace, "palm-1").await;
        schedulable(true).await;
        world.ready(&namespace, "palm-2").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_namespace_that_a_server_does_not_accept_is_told_so_and_let_in_when_it_is_allowed() {
    run(async {
        let world = World::shared().await;
        let (accepted, other) = (world.fresh_namespace().await, world.fresh_namespace().await);
        let server = own_server(world, "pg-private").await;
        world.apply_server("pg-private", server_for("pg-private", &server, &accepted, &json!({}))).await;
        world.apply_school(&accepted, "rowan-1", pinned("pg-private")).await;
        world.ready(&accepted, "rowan-1").await;
        world.apply_school(&other, "rowan-2", pinned("pg-private")).await;
        let refused = world.school_when(&other, "rowan-2", "Stalled", "True", "NamespaceNotAllowed").await;
        assert!(message(&refused).contains("pg-private does not accept this namespace"), "{}", message(&refused));
        world.apply_server("pg-private", server_for("pg-private", &server, &other, &json!({}))).await;
        world.ready(&other, "rowan-2").await;
        world.merge_school(&accepted, "rowan-1", json!({"spec": {"displayName": "No longer accepted, still served"}})).await.unwrap();
        world.ready(&accepted, "rowan-1").await;
        for namespace in [&accepted, &other] {
            world.assert_statuses_are_true(namespace).await;
        }
    });
}

#[test]
fn a_tier_that_the_named_server_does_not_offer_is_refused_until_either_changes() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let spec = |tier: &str| json!({"placement": {"tier": tier, "serverName": "pg-15"}});
        world.apply_school(&namespace, "spruce", spec("basic")).await;
        let waiting = world.school_when(&namespace, "spruce", "Ready", "False", "NoMatchingServer").await;
        assert!(message(&waiting).contains("pg-15 does not offer tier basic"), "{}", message(&waiting));
        world.apply_school(&namespace, "spruce", spec("premium")).await;
        assert_eq!(names(&world.ready(&namespace, "spruce").await).server.as_str(), "pg-15");
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_may_come_before_the_server_that_it_names() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "teak", pinned("pg-late")).await;
        let waiting = world.school_when(&namespace, "teak", "Ready", "False", "ServerNotFound").await;
        assert!(crate::world::says(&waiting, "Reconciling", "True", "ServerNotFound"));
        assert!(message(&waiting).contains("there is no DatabaseServer pg-late"), "{}", message(&waiting));
        let server = own_server(world, "pg-late").await;
        world.apply_server("pg-late", server_for("pg-late", &server, &namespace, &json!({}))).await;
        assert_eq!(names(&world.ready(&namespace, "teak").await).server.as_str(), "pg-late");
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn without_any_server_schools_wait_and_go_on_when_the_first_one_appears() {
    run(async {
        let world = World::new(Setup::default()).await;
        for name in ["pg-18", "pg-15"] {
            world.servers().delete(name, &DeleteParams::default()).await.unwrap();
            world.until(&format!("{name} is gone"), async || world.servers().get_opt(name).await.unwrap().is_none()).await;
        }
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "willow", json!({})).await;
        let waiting = world.school_when(&namespace, "willow", "Ready", "False", "ServerNotFound").await;
        assert_eq!(message(&waiting), "there is no DatabaseServer; create one");
        world.declare_server("pg-15", world.pg15.port(), &["standard"]).await;
        assert_eq!(names(&world.ready(&namespace, "willow").await).server.as_str(), "pg-15");
        world.assert_statuses_are_true(&namespace).await;
    });
}
