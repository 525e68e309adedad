//! What stays and what goes with a School.

use domain::school::observed::Names;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use sqlx::Executor as _;
use testing::master::tables_with;

use crate::sources::{database, execute, json_of, list, names, role};
use crate::world::{World, log_in, run};

/// Kubernetes collects a School's Secrets after it.
async fn without_secrets(world: &World, namespace: &str, names: &Names) {
    for secret in [&names.secret, &names.admin_secret] {
        let gone = async || world.secret(namespace, secret.as_str()).await.is_none();
        world.until(&format!("Secret {secret} is gone"), gone).await;
    }
}

/// Database, login, row and Secrets of a School that was deleted with everything.
async fn nothing_is_left(world: &World, namespace: &str, names: &Names) {
    assert!(world.owned_objects(names).await.is_empty(), "{:?}", world.owned_objects(names).await);
    let mut conn = world.beside(names).await;
    assert_eq!(database(&mut conn, names.database.as_str()).await, Value::Null);
    assert_eq!(role(&mut conn, names.login.as_str()).await, Value::Null);
    let row = world.tenant_row(names).await;
    assert_eq!((&row["state"], &row["is_active"], &row["is_deleted"]), (&json!("deleted"), &json!(false), &json!(true)));
    assert_eq!(row["credentials"], Value::Null, "the credentials outlive their login");
    without_secrets(world, namespace, names).await;
}

/// A School that was deleted with policy Retain.
async fn closed_and_kept(world: &World, namespace: &str, names: &Names) {
    let row = world.tenant_row(names).await;
    assert_eq!((&row["state"], &row["is_active"], &row["is_deleted"]), (&json!("retained"), &json!(false), &json!(false)));
    assert_eq!(world.owned_objects(names).await, [names.database.as_str(), names.login.as_str()]);
    let login = role(&mut world.beside(names).await, names.login.as_str()).await;
    assert_eq!(login["rolcanlogin"], false);
    without_secrets(world, namespace, names).await;
}

#[test]
fn a_school_deleted_with_retain_leaves_its_database_closed_and_owned_and_its_code_taken() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, spec) in [
            ("parrot", json!({"deletionPolicy": "Retain"})),
            ("puffin", json!({"placement": {"tier": "premium"}})),
            ("pipit", json!({"state": "Suspended"})),
        ] {
            world.apply_school(&namespace, code, spec).await;
        }
        for (code, ready) in [("parrot", "Ready"), ("puffin", "Ready"), ("pipit", "Suspended")] {
            let names = names(&world.school_when(&namespace, code, "Ready", "True", ready).await);
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let mut session = None;
            if ready == "Ready" {
                let mut conn = log_in(&secret, None).await.unwrap();
                conn.execute("INSERT INTO app.classes (name, school_year) VALUES ('Kept', 2026)").await.unwrap();
                session = Some(conn);
            }
            world.delete_school(&namespace, code).await;
            if let Some(mut conn) = session {
                assert!(conn.execute("SELECT 1").await.is_err(), "{code}: the session outlived the School");
                let mut conn = World::superuser(world.server(names.server.as_str()), names.database.as_str()).await;
                assert_eq!(json_of(&mut conn, "SELECT name FROM app.classes").await["name"], "Kept");
            }
            log_in(&secret, None).await.unwrap_err();
            closed_and_kept(world, &namespace, &names).await;
        }
        world.try_apply_school(&namespace, "parrot-again", "parrot", json!({})).await.unwrap();
        world.school_when(&namespace, "parrot-again", "Stalled", "True", "NameConflict").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_deleted_with_delete_leaves_nothing_and_its_code_is_free_for_an_empty_one() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let schools = [("quail", "standard"), ("quetzal", "premium")];
        let apply = async |code: &str, tier: &str| {
            let spec = json!({"placement": {"tier": tier}, "deletionPolicy": "Delete"});
            world.apply_school(&namespace, code, spec).await;
        };
        for (code, tier) in schools {
            apply(code, tier).await;
        }
        let mut gone = Vec::new();
        for (code, tier) in schools {
            let old = names(&world.ready(&namespace, code).await);
            let secret = world.secret(&namespace, old.secret.as_str()).await.unwrap();
            let mut session = log_in(&secret, None).await.unwrap();
            session.execute("INSERT INTO app.classes (name, school_year) VALUES ('Gone', 2026)").await.unwrap();
            world.delete_school(&namespace, code).await;
            // At once, as a person would: the old School's Secrets are still being collected.
            apply(code, tier).await;
            let users = format!("SELECT name FROM registry.users WHERE tenant_id = '{}' AND NOT is_deleted", old.tenant);
            assert!(list(&mut world.master().await, &users).await.is_empty());
            gone.push(old);
        }
        for ((code, _), old) in schools.into_iter().zip(gone) {
            let new = names(&world.ready(&namespace, code).await);
            assert_ne!(new.tenant, old.tenant);
            assert!(world.owned_objects(&old).await.is_empty());
            let secret = world.secret(&namespace, new.secret.as_str()).await.unwrap();
            let mut session = log_in(&secret, None).await.unwrap();
            assert_eq!(json_of(&mut session, "SELECT name FROM app.classes").await, Value::Null);
        }
        let conflicts = ["--namespace", namespace.as_str(), "get", "events", "--field-selector", "reason=SecretConflict", "-o", "name"];
        assert_eq!(world.kubectl(&conflicts).await, "", "what is only being collected was taken for somebody else's");
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_deleted_with_delete_leaves_nothing_personal_in_the_whole_master_database() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let canary = format!("canary-{namespace}");
        for (code, policy) in [("wiped", "Delete"), ("shelved", "Retain")] {
            let person = format!("{canary}-{code}");
            let spec = json!({
                "displayName": format!("{person} School"), "email": format!("{person}@office.example"), "deletionPolicy": policy,
                "adminUser": {"name": format!("{person} Sousa"), "email": format!("{person}@home.example")},
            });
            world.apply_school(&namespace, code, spec).await;
        }
        for (code, kept) in [("wiped", vec![]), ("shelved", vec!["registry.tenants", "registry.users"])] {
            let person = format!("{canary}-{code}");
            world.ready(&namespace, code).await;
            assert_eq!(tables_with(&mut world.master().await, &person).await, ["registry.tenants", "registry.users"]);
            world.delete_school(&namespace, code).await;
            assert_eq!(tables_with(&mut world.master().await, &person).await, kept, "{code}");
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_suspended_school_is_dropped_as_any_other() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "raven", json!({"state": "Suspended", "deletionPolicy": "Delete"})).await;
        let names = names(&world.school_when(&namespace, "raven", "Ready", "True", "Suspended").await);
        world.delete_school(&namespace, "raven").await;
        nothing_is_left(world, &namespace, &names).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn the_policy_that_stands_when_a_school_is_deleted_is_the_one_that_counts() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "siskin", json!({})).await;
        world.apply_school(&namespace, "starling", json!({"deletionPolicy": "Delete"})).await;
        let [dropped, kept] =
            [world.ready(&namespace, "siskin").await, world.ready(&namespace, "starling").await].map(|school| names(&school));
        world.merge_school(&namespace, "siskin", json!({"spec": {"deletionPolicy": "Delete"}})).await.unwrap();
        world.merge_school(&namespace, "starling", json!({"spec": {"deletionPolicy": "Retain"}})).await.unwrap();
        world.delete_school(&namespace, "siskin").await;
        world.delete_school(&namespace, "starling").await;
        nothing_is_left(world, &namespace, &dropped).await;
        closed_and_kept(world, &namespace, &kept).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn schools_deleted_at_once_after_they_were_applied_leave_nothing() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let codes: Vec<_> = (0..6).map(|n| format!("teal-{n}")).collect();
        let schools = world.schools(&namespace);
        for (pause, code) in codes.iter().enumerate() {
            let tier = if pause % 2 == 0 { "standard" } else { "premium" };
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}, "deletionPolicy": "Delete"})).await;
            // Each is met a little further on its way.
            let started = async || world.operator_writes(&namespace).iter().filter(|write| write.contains(code.as_str())).count() >= pause;
            if pause < 5 {
                world.until(&format!("{code} is under way"), started).await;
            }
            schools.delete(code, &DeleteParams::default()).await.unwrap();
        }
        for code in &codes {
            world.until(&format!("{code} is gone"), async || schools.get_opt(code).await.unwrap().is_none()).await;
        }
        let left = "SELECT code::text FROM registry.tenants WHERE code LIKE 'teal-%' AND NOT is_deleted";
        assert!(list(&mut world.master().await, left).await.is_empty());
        let left = "SELECT datname::text FROM pg_database WHERE datname LIKE 'dailycare_tenant_teal_%'
            UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'dailycare_tenant_teal_%'";
        for server in [&world.pg15, &world.pg18] {
            assert_eq!(list(&mut World::superuser(server, "postgres").await, left).await, Vec::<String>::new());
        }
        let secrets = ["--namespace", namespace.as_str(), "get", "secrets", "-o", "name"];
        world.until("every Secret is gone", async || world.kubectl(&secrets).await.is_empty()).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

/// As after a restore of the master database to a time before the School.
async fn lose_row(world: &World, names: &Names) {
    for table in ["users WHERE tenant_id", "tenants WHERE id"] {
        execute(&mut world.master().await, &format!("DELETE FROM registry.{table} = '{}'", names.tenant)).await;
    }
}

#[test]
fn a_school_whose_row_is_lost_is_dropped_or_retained_as_its_policy_says() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, policy, tier) in [("whimbrel-1", "Delete", "standard"), ("whimbrel-2", "Retain", "premium")] {
            world.apply_school(&namespace, code, json!({"deletionPolicy": policy, "placement": {"tier": tier}})).await;
        }
        let [dropped, kept] =
            [world.ready(&namespace, "whimbrel-1").await, world.ready(&namespace, "whimbrel-2").await].map(|school| names(&school));
        let secret = world.secret(&namespace, "whimbrel-2-db").await.unwrap();
        for (code, names) in [("whimbrel-1", &dropped), ("whimbrel-2", &kept)] {
            lose_row(world, names).await;
            world.delete_school(&namespace, code).await;
        }
        nothing_is_left(world, &namespace, &dropped).await;
        closed_and_kept(world, &namespace, &kept).await;
        log_in(&secret, None).await.unwrap_err();
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_whose_row_is_lost_and_whose_code_is_taken_is_closed_and_waits_for_a_person() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "willet", json!({})).await;
        let names = names(&world.ready(&namespace, "willet").await);
        let secret = world.secret(&namespace, "willet-db").await.unwrap();
        lose_row(world, &names).await;
        let other = "INSERT INTO registry.tenants (code, name, email) VALUES ('willet', 'Another', 'office@another.example')";
        execute(&mut world.master().await, other).await;
        let row = "SELECT * FROM registry.tenants WHERE code = 'willet'";
        let before = json_of(&mut world.master().await, row).await;

        world.schools(&namespace).delete("willet", &DeleteParams::default()).await.unwrap();
        let school = world.school_when(&namespace, "willet", "Stalled", "True", "NameConflict").await;
        let said = crate::world::conditions(Some(&school)).into_iter().find(|c| c.type_ == "Ready").unwrap().message;
        assert!(said.contains(names.database.as_str()) && said.contains("closed"), "{said}");
        log_in(&secret, None).await.unwrap_err();
        assert_eq!(world.owned_objects(&names).await, [names.database.as_str(), names.login.as_str()]);
        world.assert_statuses_are_true(&namespace).await;

        world.merge_school(&namespace, "willet", json!({"spec": {"deletionPolicy": "Delete"}})).await.unwrap();
        let schools = world.schools(&namespace);
        world.until("the School is gone", async || schools.get_opt("willet").await.unwrap().is_none()).await;
        assert!(world.owned_objects(&names).await.is_empty());
        assert_eq!(json_of(&mut world.master().await, row).await, before, "the other tenant's row was touched");
        execute(&mut world.master().await, "DELETE FROM registry.tenants WHERE code = 'willet'").await;
    });
}

#[test]
fn a_school_that_never_owned_its_database_retains_nothing_and_frees_its_code() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, tier, policy) in
            [("wigeon-1", "standard", "Retain"), ("wigeon-2", "premium", "Retain"), ("wigeon-3", "standard", "Delete")]
        {
            let server = if tier == "premium" { &world.pg15 } else { &world.pg18 };
            let theirs = format!("dailycare_tenant_{}", code.replace('-', "_"));
            let mut conn = World::superuser(server, "postgres").await;
            execute(&mut conn, &format!("CREATE DATABASE {theirs}")).await;
            let before = database(&mut conn, &theirs).await;
            let spec = json!({"placement": {"tier": tier}, "deletionPolicy": policy});
            world.apply_school(&namespace, code, spec.clone()).await;
            let names = names(&world.school_when(&namespace, code, "Stalled", "True", "OwnedByAnother").await);
            world.assert_statuses_are_true(&namespace).await;
            world.delete_school(&namespace, code).await;
            let row = world.tenant_row(&names).await;
            assert_eq!((&row["state"], &row["is_deleted"]), (&json!("deleted"), &json!(true)), "{code}: it holds its code and a place");
            assert_eq!(database(&mut conn, &theirs).await, before, "{code}: somebody else's database was touched");
            execute(&mut conn, &format!("DROP DATABASE {theirs}")).await;
            world.apply_school(&namespace, code, spec).await;
            world.ready(&namespace, code).await;
        }
    });
}

#[test]
fn a_namespace_with_schools_in_it_can_be_deleted() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "vireo", json!({"deletionPolicy": "Delete"})).await;
        world.apply_school(&namespace, "vulture", json!({"placement": {"tier": "premium"}})).await;
        let [dropped, kept] =
            [world.ready(&namespace, "vireo").await, world.ready(&namespace, "vulture").await].map(|school| names(&school));
        world.apply_school(&namespace, "verdin", json!({"deletionPolicy": "Delete"})).await;
        let namespaces = Api::<Namespace>::all(world.client.clone());
        namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
        world.until("the namespace is gone", async || namespaces.get_opt(&namespace).await.unwrap().is_none()).await;
        nothing_is_left(world, &namespace, &dropped).await;
        closed_and_kept(world, &namespace, &kept).await;
        let left = "SELECT code::text FROM registry.tenants WHERE code = 'verdin' AND NOT is_deleted";
        assert!(list(&mut world.master().await, left).await.is_empty());
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_whose_status_was_wiped_just_before_it_is_deleted_leaves_nothing_either() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, policy) in [("waxwing-1", "Delete"), ("waxwing-2", "Retain")] {
            world.apply_school(&namespace, code, json!({"deletionPolicy": policy})).await;
        }
        let [dropped, kept] =
            [world.ready(&namespace, "waxwing-1").await, world.ready(&namespace, "waxwing-2").await].map(|school| names(&school));
        for code in ["waxwing-1", "waxwing-2"] {
            let wipe = Patch::Merge(json!({"status": null}));
            world.schools(&namespace).patch_status(code, &PatchParams::default(), &wipe).await.unwrap();
            world.delete_school(&namespace, code).await;
        }
        nothing_is_left(world, &namespace, &dropped).await;
        closed_and_kept(world, &namespace, &kept).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}
