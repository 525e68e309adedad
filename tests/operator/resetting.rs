//! A school's administrator who is locked out gets another temporary password when an annotation of the School asks for it: once for each request, on record.
//!
//! Must not print a password.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use operator::crd::School;
use registry::password::{Checker, Verdict};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::sources::{execute, names};
use crate::world::{Setup, World, conditions, run, says};

/// The account whose password an administrator's Secret holds, as the API finds it.
#[derive(Debug)]
struct Account {
    hash: String,
    must_change: bool,
    failed_logins: i32,
    locked: bool,
    sessions: i64,
    /// Records of a reset in the platform's audit.
    resets: i64,
    /// At whose request the last one was.
    requester: Option<String>,
}

impl World {
    async fn account(&self, email: &str) -> Account {
        let select = "SELECT u.*, u.locked_until IS NOT NULL AS locked,
                (SELECT count(*) FROM registry.refresh_tokens r WHERE r.user_id = u.id) AS sessions,
                (SELECT count(*) FROM registry.access_audit a WHERE a.user_id = u.id AND a.tenant_id = u.tenant_id
                    AND a.action = 'platform:reset_school_admin' AND a.success) AS resets,
                (SELECT max(resource) FROM registry.access_audit a WHERE a.user_id = u.id AND a.action = 'platform:reset_school_admin') AS requester
            FROM registry.users u WHERE u.email = $1 AND NOT u.is_deleted";
        let row = sqlx::query(select).bind(email).fetch_one(&mut self.master().await).await.unwrap();
        Account {
            hash: row.get("password_hash"),
            must_change: row.get("must_change_password"),
            failed_logins: row.get("failed_logins"),
            locked: row.get("locked"),
            sessions: row.get("sessions"),
            resets: row.get("resets"),
            requester: row.get("requester"),
        }
    }

    /// The account has signed in, changed its password, forgotten it and locked itself out.
    async fn lock_out(&self, email: &str) {
        let sql = format!(
            "UPDATE registry.users SET password_hash = '$argon2id$forgotten', must_change_password = false, failed_logins = 9,
                 locked_until = now() + interval '1 hour' WHERE email = '{email}';
             INSERT INTO registry.refresh_tokens (family, user_id, current, salt, expires_at, ends_at)
                 SELECT gen_random_uuid(), id, sha256('a'), sha256('b'), now() + interval '1 day', now() + interval '1 day'
                 FROM registry.users WHERE email = '{email}'"
        );
        execute(&mut self.master().await, &sql).await;
    }

    async fn request_password(&self, namespace: &str, name: &str, request: Value) {
        let annotation = json!({"metadata": {"annotations": {"dailycare.io/reset-admin-password": request}}});
        self.merge_school(namespace, name, annotation).await.unwrap();
    }

    async fn until_reset(&self, namespace: &str, name: &str, request: &str) -> School {
        let school = async || self.schools(namespace).get(name).await.unwrap();
        let recorded = |school: &School| school.status.as_ref()?.admin_user.as_ref()?.last_password_reset.clone();
        self.until(&format!("{name} says that it acted on {request}"), async || recorded(&school().await).as_deref() == Some(request))
            .await;
        school().await
    }

    async fn admin_password(&self, namespace: &str, name: &str) -> String {
        self.secret(namespace, &format!("{name}-admin")).await.unwrap()["password"].clone()
    }

    /// A change of the School that a later reconcile has brought to the registry.
    async fn reconciled(&self, namespace: &str, name: &str, display_name: &str) {
        self.merge_school(namespace, name, json!({"spec": {"displayName": display_name}})).await.unwrap();
        let query = "SELECT count(*) FROM registry.tenants WHERE name = $1";
        let published =
            async || sqlx::query_scalar::<_, i64>(query).bind(display_name).fetch_one(&mut self.master().await).await.unwrap() == 1;
        self.until(&format!("{name} was reconciled"), published).await;
    }
}

async fn signs_in(account: &Account, password: &str) -> bool {
    Checker::new(1).verify(&password.to_owned().into(), Some(&account.hash)).await.unwrap() == Verdict::Right
}

fn address(namespace: &str, name: &str) -> String {
    format!("ana@{name}.{namespace}.example")
}

#[test]
fn a_locked_out_administrator_gets_one_temporary_password_for_each_request_on_record() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        for (name, tier) in [("hawk", "standard"), ("ibis", "premium")] {
            world.apply_school(&namespace, name, json!({"placement": {"tier": tier}})).await;
        }
        for name in ["hawk", "ibis"] {
            world.ready(&namespace, name).await;
            let (email, first) = (address(&namespace, name), world.admin_password(&namespace, name).await);
            assert!(signs_in(&world.account(&email).await, &first).await);
            world.lock_out(&email).await;

            world.request_password(&namespace, name, json!("2026-11-27T08:00:00+00:00")).await;
            world.until_reset(&namespace, name, "2026-11-27T08:00:00+00:00").await;
            let (account, second) = (world.account(&email).await, world.admin_password(&namespace, name).await);
            assert!(second != first && signs_in(&account, &second).await && !signs_in(&account, &first).await);
            assert!(account.must_change && !account.locked && account.failed_logins == 0, "{account:?}");
            assert_eq!((account.sessions, account.resets), (0, 1), "{account:?}");
            assert_eq!(account.requester.as_deref(), Some("dailycare.io/reset-admin-password"));
            let events = Api::<Event>::namespaced(world.client.clone(), &namespace);
            let reported = async || {
                let published = events.list(&ListParams::default().fields("reason=AdminPasswordReset")).await.unwrap().items;
                assert!(published.iter().all(|event| !serde_json::to_string(event).unwrap().contains(&second)));
                published.iter().any(|event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name))
            };
            world.until(&format!("an Event tells of {name}"), reported).await;
        }

        // Neither the same manifest, nor another reconcile, nor another operator, nor a lost Secret repeats it.
        let (email, second) = (address(&namespace, "hawk"), world.admin_password(&namespace, "hawk").await);
        world.request_password(&namespace, "hawk", json!("2026-11-27T08:00:00+00:00")).await;
        world.reconciled(&namespace, "hawk", "Hawk again").await;
        world.replace_operator(&[]).await;
        world.reconciled(&namespace, "hawk", "Hawk under another operator").await;
        assert_eq!(world.admin_password(&namespace, "hawk").await, second);
        assert_eq!(world.account(&email).await.resets, 1);
        // Nor a status that was lost: the registry knows as well.
        world.operator.stop().await.unwrap();
        let mut lost = world.schools(&namespace).get("hawk").await.unwrap();
        lost.status.as_mut().unwrap().admin_user.as_mut().unwrap().last_password_reset = None;
        world.schools(&namespace).replace_status("hawk", &PostParams::default(), &lost).await.unwrap();
        world.start_operator(&[]);
        world.until_reset(&namespace, "hawk", "2026-11-27T08:00:00+00:00").await;
        assert_eq!((world.admin_password(&namespace, "hawk").await, world.account(&email).await.resets), (second.clone(), 1));

        // Another value is another request, also when somebody deleted the Secret.
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &namespace);
        secrets.delete("hawk-admin", &DeleteParams::default()).await.unwrap();
        world.request_password(&namespace, "hawk", json!("again")).await;
        world.until_reset(&namespace, "hawk", "again").await;
        let (account, third) = (world.account(&email).await, world.admin_password(&namespace, "hawk").await);
        assert!(third != second && signs_in(&account, &third).await && account.resets == 2, "{account:?}");
        world.ready(&namespace, "hawk").await;
        world.assert_statuses_are_true(&namespace).await;
        let log = world.operator.log();
        assert!([second, third].iter().all(|password| !log.contains(password)), "a password is in the log");
    });
}

#[test]
fn the_administrator_of_a_suspended_or_deleted_school_gets_no_other_password_until_it_is_served_again() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for name in ["jay-out", "kite-out"] {
            world.apply_school(&namespace, name, json!({})).await;
            world.ready(&namespace, name).await;
        }
        let (email, first) = (address(&namespace, "jay-out"), world.admin_password(&namespace, "jay-out").await);
        world.merge_school(&namespace, "jay-out", json!({"spec": {"state": "Suspended"}})).await.unwrap();
        world.school_when(&namespace, "jay-out", "Ready", "True", "Suspended").await;
        world.request_password(&namespace, "jay-out", json!("1")).await;
        world.reconciled(&namespace, "jay-out", "Jay, closed").await;
        world.school_when(&namespace, "jay-out", "Ready", "True", "Suspended").await;
        assert_eq!((world.admin_password(&namespace, "jay-out").await, world.account(&email).await.resets), (first.clone(), 0));

        world.merge_school(&namespace, "jay-out", json!({"spec": {"state": "Active"}})).await.unwrap();
        world.until_reset(&namespace, "jay-out", "1").await;
        assert!(world.admin_password(&namespace, "jay-out").await != first && world.account(&email).await.resets == 1);
        world.ready(&namespace, "jay-out").await;
        world.assert_statuses_are_true(&namespace).await;

        // Both wishes at once, for a School that is kept from going by somebody else's finalizer as well.
        let email = address(&namespace, "kite-out");
        let hash = world.account(&email).await.hash;
        world
            .merge_school(&namespace, "kite-out", json!({"metadata": {"finalizers": ["dailycare.io/school-cleanup", "test.example/hold"]}}))
            .await
            .unwrap();
        world.schools(&namespace).delete("kite-out", &DeleteParams::default()).await.unwrap();
        world.request_password(&namespace, "kite-out", json!("1")).await;
        let retained = async || world.tenant("kite-out").await.is_some_and(|tenant| tenant.0 == "retained");
        world.until("kite-out is retained", retained).await;
        world.merge_school(&namespace, "kite-out", json!({"metadata": {"finalizers": null}})).await.unwrap();
        let account = world.account(&email).await;
        assert_eq!((account.hash, account.resets), (hash, 0));
    });
}

#[test]
fn a_request_that_cannot_be_executed_says_why_and_the_school_is_served() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "lark-out", json!({})).await;
        let tenant = names(&world.ready(&namespace, "lark-out").await).tenant;
        let email = address(&namespace, "lark-out");
        let refused = async |reason: &str, text: &str| {
            let school = world.school_when(&namespace, "lark-out", "Stalled", "True", reason).await;
            assert!(says(&school, "Available", "True", "Serving") && says(&school, "Ready", "False", reason));
            let said = conditions(Some(&school)).into_iter().find(|condition| condition.type_ == "Ready").unwrap().message;
            assert!(said.contains(text), "{said}");
            assert_eq!(world.account(&email).await.resets, 0);
        };
        world.request_password(&namespace, "lark-out", json!("for ana@lark.example")).await;
        refused("AdminResetRefused", "must have 1 to 63 letters").await;

        // Somebody else's Secret of the name is left alone.
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &namespace);
        secrets.delete("lark-out-admin", &DeleteParams::default()).await.unwrap();
        let theirs = json!({"metadata": {"name": "lark-out-admin"}, "stringData": {"password": "somebody else's"}});
        secrets.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
        world.request_password(&namespace, "lark-out", json!("1")).await;
        refused("SecretConflict", "lark-out-admin exists and does not belong to this School").await;
        assert_eq!(world.admin_password(&namespace, "lark-out").await, "somebody else's");
        world.request_password(&namespace, "lark-out", Value::Null).await;
        world.ready(&namespace, "lark-out").await;
        secrets.delete("lark-out-admin", &DeleteParams::default()).await.unwrap();

        // The first administrator left, and two others came.
        let sql = format!(
            "UPDATE registry.users SET is_active = false WHERE email = '{email}';
             INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
                 SELECT '{tenant}', name, name || '@{namespace}.example', '$argon2id$', 'SchoolAdmin' FROM unnest(ARRAY['eva', 'rui']) AS name"
        );
        execute(&mut world.master().await, &sql).await;
        world.request_password(&namespace, "lark-out", json!("2")).await;
        refused("AdminResetRefused", "dailycare school-admin reset-password --email").await;

        // One of them is meant when the other goes.
        let sql = format!("UPDATE registry.users SET is_active = false WHERE email = 'rui@{namespace}.example'");
        execute(&mut world.master().await, &sql).await;
        world.request_password(&namespace, "lark-out", json!("3")).await;
        world.until_reset(&namespace, "lark-out", "3").await;
        let secret = world.secret(&namespace, "lark-out-admin").await.unwrap();
        let eva = world.account(&format!("eva@{namespace}.example")).await;
        assert!(secret["email"] == format!("eva@{namespace}.example") && signs_in(&eva, &secret["password"]).await && eva.resets == 1);
        assert_eq!(world.account(&email).await.resets, 0);
        world.ready(&namespace, "lark-out").await;

        // A request that is taken back leaves nothing behind.
        world.request_password(&namespace, "lark-out", json!("no room for this")).await;
        refused("AdminResetRefused", "must have 1 to 63 letters").await;
        world.request_password(&namespace, "lark-out", Value::Null).await;
        world.ready(&namespace, "lark-out").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}
