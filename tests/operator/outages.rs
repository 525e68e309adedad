//! Outages: a tenant server or the master database dies, hangs and comes back; nothing is lost, nothing is doubled, and nobody else notices.

use futures::future::join_all;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testing::{Postgres, PostgresOptions, Version};
use tokio::sync::OnceCell;

use crate::fleet::{query_value, tenants_on};
use crate::world::{Setup, World, conditions, log_in, run, says, sqlstate};

/// Shared by the tests of this file in which the master database lives: each breaks a server of its own.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::new(Setup::default())).await
}

async fn victim(world: &World, name: &str, version: Version) -> Postgres {
    let server = Postgres::start(version, PostgresOptions::default()).await.unwrap();
    world.add_server(name, &server, &["standard"]).await;
    server
}

/// The school is known to be away, and waits without being at work.
async fn assert_unreachable(world: &World, namespace: &str, name: &str) {
    let school = world.school_when(namespace, name, "Ready", "False", "DatabaseUnreachable").await;
    for (kind, status) in [("Available", "False"), ("Reconciling", "False"), ("Stalled", "False"), ("DatabaseReady", "Unknown")] {
        assert!(says(&school, kind, status, "DatabaseUnreachable"), "{kind}: {:#?}", conditions(Some(&school)));
    }
}

#[test]
fn a_server_killed_in_the_middle_of_twenty_schools_ends_with_all_of_them_once() {
    run(async {
        let world = world().await;
        let mut server = victim(world, "struck", Version::V15).await;
        let namespace = world.fresh_namespace().await;
        let codes: Vec<_> = (0..20).map(|n| format!("struck-{n:02}")).collect();
        let spec = json!({"placement": {"serverName": "struck"}});
        join_all(codes.iter().map(|code| world.apply_school(&namespace, code, spec.clone()))).await;
        world.until("work is in full swing", async || tenants_on(&server).await.0.len() >= 3).await;
        server.kill9().await.unwrap();
        // The other server's schools are made while this one is down.
        for code in ["calm-1", "calm-2", "calm-3"] {
            world.apply_school(&namespace, code, json!({"placement": {"serverName": "pg-18"}})).await;
        }
        for code in ["calm-1", "calm-2", "calm-3"] {
            world.ready(&namespace, code).await;
        }
        server.start_again().await.unwrap();
        for code in &codes {
            world.ready(&namespace, code).await;
            log_in(&world.secret(&namespace, &format!("{code}-db")).await.unwrap(), None).await.unwrap();
            assert_eq!(world.tenant(code).await.unwrap().0, "active");
        }
        let (databases, logins) = tenants_on(&server).await;
        assert_eq!((databases.len(), logins.len()), (20, 20), "{databases:?} {logins:?}");
        // A crash between staging and claiming leaves spares that the next claims use; each of the eight workers holds one at most.
        let spares: i64 = query_value(&server, "postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'dc\\_spare\\_%'").await;
        assert!(spares <= 8, "{spares}");
        let accounts = "SELECT count(*) FROM registry.users u JOIN registry.tenants t ON t.id = u.tenant_id WHERE t.code LIKE 'struck-%'";
        assert_eq!(query_value::<i64>(&world.pg18, "dailycare_master", accounts).await, 20);
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_outage_of_a_served_school_is_reported_and_ends_when_the_server_is_back() {
    run(async {
        let world = world().await;
        let mut server = victim(world, "fragile", Version::V18).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "fragile-1", json!({"placement": {"serverName": "fragile"}})).await;
        let before = world.ready(&namespace, "fragile-1").await;
        server.kill9().await.unwrap();
        assert_unreachable(world, &namespace, "fragile-1").await;
        world.server_when("fragile", "Reachable", "False", "DatabaseUnreachable").await;
        assert_eq!(world.tenant("fragile-1").await.unwrap().0, "active", "its route stays");
        server.start_again().await.unwrap();
        let after = world.ready(&namespace, "fragile-1").await;
        assert!(says(&after, "Available", "True", "Serving"));
        // A hang is an outage too.
        server.pause().unwrap();
        assert_unreachable(world, &namespace, "fragile-1").await;
        server.resume().unwrap();
        let after = world.ready(&namespace, "fragile-1").await;
        assert_eq!(after.metadata.generation, before.metadata.generation);
        let secret = world.secret(&namespace, "fragile-1-db").await.unwrap();
        log_in(&secret, None).await.unwrap();
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn deletion_waits_for_a_server_that_is_down_and_finishes_when_it_is_back() {
    run(async {
        let world = world().await;
        let mut server = victim(world, "gone", Version::V15).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "gone"}, "deletionPolicy": "Delete"});
        world.apply_school(&namespace, "gone-1", spec).await;
        world.ready(&namespace, "gone-1").await;
        server.kill9().await.unwrap();
        world.schools(&namespace).delete("gone-1", &DeleteParams::default()).await.unwrap();
        let school = world.school_when(&namespace, "gone-1", "Reconciling", "True", "DatabaseUnreachable").await;
        assert!(says(&school, "Ready", "False", "Terminating"), "{:#?}", conditions(Some(&school)));
        assert_eq!(school.metadata.finalizers.unwrap(), ["dailycare.io/school-cleanup"]);
        assert_eq!(world.tenant("gone-1").await.unwrap().0, "suspended", "its route stops although its server is down");
        assert!(world.secret(&namespace, "gone-1-db").await.is_some());
        server.start_again().await.unwrap();
        let schools = world.schools(&namespace);
        world.until("the School is gone", async || schools.get_opt("gone-1").await.unwrap().is_none()).await;
        assert_eq!(tenants_on(&server).await, (vec![], vec![]));
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn suspending_a_school_stops_its_route_although_its_server_is_down() {
    run(async {
        let world = world().await;
        let mut server = victim(world, "absent", Version::V18).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "absent"}});
        world.apply_school(&namespace, "absent-1", spec).await;
        world.ready(&namespace, "absent-1").await;
        server.kill9().await.unwrap();
        let patch = Patch::Merge(json!({"spec": {"state": "Suspended"}}));
        world.schools(&namespace).patch("absent-1", &PatchParams::default(), &patch).await.unwrap();
        world.until("the route stops", async || world.tenant("absent-1").await.unwrap().0 == "suspended").await;
        world.school_when(&namespace, "absent-1", "Ready", "False", "DatabaseUnreachable").await;
        server.start_again().await.unwrap();
        world.school_when(&namespace, "absent-1", "Ready", "True", "Suspended").await;
        let secret = world.secret(&namespace, "absent-1-db").await.unwrap();
        assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("28000"));
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn without_the_master_database_served_schools_stay_ready_and_new_ones_wait() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let server = victim(&world, "tenants", Version::V18).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "tenants"}});
        world.apply_school(&namespace, "served", spec.clone()).await;
        world.ready(&namespace, "served").await;
        world.pg18.kill9().await.unwrap();
        world.apply_school(&namespace, "late", spec.clone()).await;
        world.school_when(&namespace, "late", "Reconciling", "True", "ProgressingWithRetry").await;
        // Looked at now, for certain, and found with the registry away.
        let annotation = Patch::Merge(json!({"metadata": {"annotations": {"dailycare.io/requestedAt": "now"}}}));
        world.schools(&namespace).patch("served", &PatchParams::default(), &annotation).await.unwrap();
        let reconciled = world.school_when(&namespace, "served", "Reconciling", "True", "ProgressingWithRetry").await;
        assert!(says(&reconciled, "Ready", "True", "Ready"), "{:#?}", conditions(Some(&reconciled)));
        log_in(&world.secret(&namespace, "served-db").await.unwrap(), None).await.unwrap();
        world.schools(&namespace).delete("served", &DeleteParams::default()).await.unwrap();
        world.pg18.start_again().await.unwrap();
        world.ready(&namespace, "late").await;
        world.until("the deletion is done", async || world.schools(&namespace).get_opt("served").await.unwrap().is_none()).await;
        let (databases, logins) = tenants_on(&server).await;
        assert_eq!((databases.len(), logins.len()), (2, 2), "one retained, one new: {databases:?}");
        world.assert_statuses_are_true(&namespace).await;
    });
}
