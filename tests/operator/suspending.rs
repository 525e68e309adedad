//! A School that is closed by its spec and opened again, and other changes of a spec.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use operator::crd::School;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::sources::{database, execute, json_of, names, role};
use crate::world::{World, log_in, run, sqlstate};

/// Changes the spec of a School and waits until it is Ready again, for `reason`.
async fn change(world: &World, namespace: &str, name: &str, spec: Value, reason: &str) -> School {
    world.merge_school(namespace, name, json!({"spec": spec})).await.unwrap();
    world.school_when(namespace, name, "Ready", "True", reason).await
}

#[test]
fn suspending_ends_sessions_and_refuses_logins_until_the_school_is_active_again() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, tier) in [("kestrel", "standard"), ("kite", "premium")] {
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
        }
        for code in ["kestrel", "kite"] {
            let names = names(&world.ready(&namespace, code).await);
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let mut session = log_in(&secret, None).await.unwrap();
            session.execute("INSERT INTO app.classes (name, school_year) VALUES ('Owls', 2026)").await.unwrap();

            let school = change(world, &namespace, code, json!({"state": "Suspended"}), "Suspended").await;
            assert!(session.execute("SELECT 1").await.is_err(), "{code}: the session outlived the suspension");
            let refused = log_in(&secret, None).await.unwrap_err();
            assert_eq!(sqlstate(&refused).as_deref(), Some("28000"), "{code}: role not permitted to log in");
            let row = world.tenant_row(&names).await;
            assert_eq!((&row["state"], &row["is_active"]), (&json!("suspended"), &json!(false)));
            for (kind, status) in [("Suspended", "True"), ("Available", "False"), ("Stalled", "False"), ("Reconciling", "False")] {
                assert!(crate::world::says(&school, kind, status, "Suspended"), "{kind}");
            }

            change(world, &namespace, code, json!({"state": null}), "Ready").await;
            let mut session = log_in(&secret, None).await.unwrap();
            let classes = json_of(&mut session, "SELECT name FROM app.classes").await;
            assert_eq!(classes["name"], "Owls", "{code}: the data was not kept");
            assert_eq!(world.tenant_row(&names).await["state"], "active");
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_is_closed_although_its_secret_is_somebody_elses_or_cannot_be_corrected() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &namespace);
        // The first one's Secret is nobody's, the second one's says something else than it should and cannot be changed.
        let spoilt = [
            ("kinglet-1", json!({"metadata": {"ownerReferences": null}})),
            ("kinglet-2", json!({"immutable": true, "stringData": {"host": "elsewhere.example"}})),
        ];
        for (code, tier) in [("kinglet-1", "standard"), ("kinglet-2", "premium")] {
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
        }
        for (code, spoil) in spoilt {
            let names = names(&world.ready(&namespace, code).await);
            let before = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let mut session = log_in(&before, None).await.unwrap();
            secrets.patch(names.secret.as_str(), &PatchParams::default(), &Patch::Merge(spoil)).await.unwrap();

            let school = change(world, &namespace, code, json!({"state": "Suspended"}), "Suspended").await;
            assert!(crate::world::says(&school, "Suspended", "True", "Suspended"), "{code}");
            assert!(session.execute("SELECT 1").await.is_err(), "{code}: the session outlived the suspension");
            assert_eq!(sqlstate(&log_in(&before, None).await.unwrap_err()).as_deref(), Some("28000"), "{code}");
            assert_eq!(world.tenant_row(&names).await["state"], "suspended", "{code}");
        }
        world.assert_statuses_are_true(&namespace).await;

        // It matters again when the school is to be served.
        world.merge_school(&namespace, "kinglet-1", json!({"spec": {"state": null}})).await.unwrap();
        world.school_when(&namespace, "kinglet-1", "Stalled", "True", "SecretConflict").await;
        assert_eq!(world.tenant_row(&names(&world.schools(&namespace).get("kinglet-1").await.unwrap())).await["state"], "suspended");
        world.assert_statuses_are_true(&namespace).await;
        secrets.delete("kinglet-1-db", &kube::api::DeleteParams::default()).await.unwrap();
        world.ready(&namespace, "kinglet-1").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_whose_database_lost_its_comment_is_closed_by_its_login_and_says_what_is_wrong() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, tier) in [("knot-1", "standard"), ("knot-2", "premium")] {
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
        }
        for code in ["knot-1", "knot-2"] {
            let names = names(&world.ready(&namespace, code).await);
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let mut session = log_in(&secret, None).await.unwrap();
            execute(&mut world.beside(&names).await, &format!("COMMENT ON DATABASE {} IS NULL", names.database)).await;
            let before = database(&mut world.beside(&names).await, names.database.as_str()).await;
            world.merge_school(&namespace, code, json!({"spec": {"state": "Suspended"}})).await.unwrap();
            let school = world.school_when(&namespace, code, "Stalled", "True", "OwnedByAnother").await;
            assert!(crate::world::says(&school, "Suspended", "True", "Suspended"), "{code}");
            assert!(session.execute("SELECT 1").await.is_err(), "{code}: the session outlived the suspension");
            assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("28000"), "{code}");
            assert_eq!(
                database(&mut world.beside(&names).await, names.database.as_str()).await,
                before,
                "{code}: it is not known to be ours"
            );
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_school_created_suspended_is_made_but_never_served_until_it_is_activated() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "lark", json!({"state": "Suspended"})).await;
        let school = world.school_when(&namespace, "lark", "Ready", "True", "Suspended").await;
        let names = names(&school);
        let secret = world.secret(&namespace, "lark-db").await.unwrap();
        log_in(&secret, None).await.unwrap_err();
        let row = world.tenant_row(&names).await;
        assert_eq!((&row["state"], &row["activated_at"]), (&json!("suspended"), &Value::Null));
        assert_eq!(world.owned_objects(&names).await, [names.database.as_str(), names.login.as_str()]);

        change(world, &namespace, "lark", json!({"state": "Active"}), "Ready").await;
        log_in(&secret, None).await.unwrap();
        assert!(world.secret(&namespace, "lark-admin").await.is_some());
        assert!(world.tenant_row(&names).await["activated_at"].is_string());
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_changed_profile_reaches_the_registry_and_nothing_else() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "martin", json!({"phoneNumber": "112"})).await;
        let names = names(&world.ready(&namespace, "martin").await);
        let secret = world.secret(&namespace, "martin-db").await;
        let before = (role(&mut world.beside(&names).await, names.login.as_str()).await, world.tenant_row(&names).await);
        let profile = json!({"displayName": "École d’Été \"Nord\"; --", "email": "new@martin.example", "phoneNumber": null});
        change(world, &namespace, "martin", profile, "Ready").await;
        let row = world.tenant_row(&names).await;
        assert_eq!((&row["name"], &row["email"]), (&json!("École d’Été \"Nord\"; --"), &json!("new@martin.example")));
        assert_eq!(row["phone_number"], Value::Null);
        assert_eq!(
            (&row["credentials"], &row["epoch"]),
            (&before.1["credentials"], &before.1["epoch"]),
            "the API would reconnect for nothing"
        );
        assert_eq!(role(&mut world.beside(&names).await, names.login.as_str()).await, before.0);
        assert_eq!(world.secret(&namespace, "martin-db").await, secret);
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_changed_connection_limit_reaches_the_login_and_the_pool() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, tier) in [("nightjar", "standard"), ("nuthatch", "premium")] {
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}, "database": {"connectionLimit": 7}})).await;
        }
        for code in ["nightjar", "nuthatch"] {
            let names = names(&world.ready(&namespace, code).await);
            let limit = async || role(&mut world.beside(&names).await, names.login.as_str()).await["rolconnlimit"].clone();
            assert_eq!((limit().await, &world.tenant_row(&names).await["pool_size"]), (json!(7), &json!(7)));
            change(world, &namespace, code, json!({"database": {"connectionLimit": 1}}), "Ready").await;
            assert_eq!((limit().await, &world.tenant_row(&names).await["pool_size"]), (json!(1), &json!(1)));
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let _first = log_in(&secret, None).await.unwrap();
            assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("53300"));
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn labels_and_annotations_of_the_template_come_to_the_secret_and_leave_it_again() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let template = |template: Value| json!({"credentials": {"secretTemplate": template}});
        world.apply_school(&namespace, "oriole", template(json!({"labels": {"team": "a", "district": "7"}}))).await;
        world.ready(&namespace, "oriole").await;
        let metadata = async || {
            let object = world.kubectl(&["--namespace", &namespace, "get", "secret", "oriole-db", "-o", "json"]).await;
            serde_json::from_str::<Value>(&object).unwrap()["metadata"].take()
        };
        let before = metadata().await;
        assert_eq!((&before["labels"]["team"], &before["labels"]["district"]), (&json!("a"), &json!("7")));
        world.kubectl(&["--namespace", &namespace, "label", "secret", "oriole-db", "someone=else"]).await;

        let changed = json!({"labels": {"team": "b", "district": null}, "annotations": {"replicate": "yes"}});
        change(world, &namespace, "oriole", template(changed), "Ready").await;
        let after = metadata().await;
        assert_eq!((&after["labels"]["team"], &after["labels"]["district"]), (&json!("b"), &Value::Null));
        assert_eq!((&after["annotations"]["replicate"], &after["labels"]["someone"]), (&json!("yes"), &json!("else")));

        change(world, &namespace, "oriole", json!({"credentials": null}), "Ready").await;
        let last = metadata().await;
        assert_eq!((&last["labels"]["team"], &last["annotations"]["replicate"]), (&Value::Null, &Value::Null));
        assert_eq!(last["labels"]["someone"], "else", "a label of somebody else was taken away");
        assert_eq!(last["labels"]["app.kubernetes.io/managed-by"], before["labels"]["app.kubernetes.io/managed-by"]);
        assert_eq!(last["uid"], before["uid"]);
        world.assert_statuses_are_true(&namespace).await;
    });
}
