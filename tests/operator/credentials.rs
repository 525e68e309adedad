//! A school's password: what the status says of it is what PostgreSQL has, and nothing but a person changes it.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use provisioning::master::keyring::Keyring;
use registry::refusals::CHANNEL;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::sources::{execute, names, role, whole};
use crate::world::{Setup, World, log_in, run, says, sqlstate};

/// One School on the superuser's server and one on the plain admin's.
const SCHOOLS: [(&str, &str); 2] = [("almond", "standard"), ("bamboo", "premium")];

async fn world_with_schools() -> (World, String) {
    let arguments = ["--log", "info,operator=debug"].map(ToOwned::to_owned).to_vec();
    let world = World::new(Setup { arguments, ..Setup::default() }).await;
    let namespace = world.fresh_namespace().await;
    for (code, tier) in SCHOOLS {
        world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
    }
    for (code, _) in SCHOOLS {
        world.ready(&namespace, code).await;
    }
    (world, namespace)
}

#[test]
fn a_password_changed_in_postgresql_is_set_back_at_the_next_request_and_told_in_an_event() {
    run(async {
        let (world, namespace) = world_with_schools().await;
        for (code, _) in SCHOOLS {
            let names = names(&world.ready(&namespace, code).await);
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            // By the school's own login, which may do that, and by an admin, who may take it away as well.
            let mut own = log_in(&secret, None).await.unwrap();
            own.execute("ALTER ROLE CURRENT_USER PASSWORD 'changed by a colleague 1'").await.unwrap();
            drop(own);
            for by_hand in ["", "PASSWORD 'changed by a colleague 2'", "PASSWORD NULL"] {
                if !by_hand.is_empty() {
                    execute(&mut world.beside(&names).await, &format!("ALTER ROLE {} {by_hand}", names.login)).await;
                }
                assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("28P01"), "{code}: {by_hand}");
                world.request_reconcile(&namespace, code).await;
                world.until(&format!("{code}'s password works again"), async || log_in(&secret, None).await.is_ok()).await;
            }
            let school = world.ready(&namespace, code).await;
            assert!(says(&school, "CredentialsReady", "True", "Issued"));
            assert_eq!(world.secret(&namespace, names.secret.as_str()).await.unwrap(), secret, "the Secret is what counts");
            let reported = async || {
                let events = Api::<Event>::namespaced(world.client.clone(), &namespace);
                let events = events.list(&ListParams::default().fields("reason=PasswordRestored")).await.unwrap();
                events.iter().any(|event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(code))
            };
            world.until(&format!("an Event tells of {code}"), reported).await;
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_login_that_the_api_was_refused_is_tried_and_mended_without_anybody_asking() {
    run(async {
        let (world, namespace) = world_with_schools().await;
        for (code, _) in SCHOOLS {
            let names = names(&world.ready(&namespace, code).await);
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            execute(&mut world.beside(&names).await, &format!("ALTER ROLE {} PASSWORD 'changed by a colleague 1'", names.login)).await;
            assert_eq!(sqlstate(&log_in(&secret, None).await.unwrap_err()).as_deref(), Some("28P01"));
            // What the API does, with the rights that it has. The operator may be connecting just now.
            let notices =
                format!("BEGIN; SET LOCAL ROLE dailycare_api; NOTIFY {CHANNEL}, 'no id'; NOTIFY {CHANNEL}, '{}'; COMMIT", names.tenant);
            let mended = async || {
                execute(&mut world.master().await, &notices).await;
                log_in(&secret, None).await.is_ok()
            };
            world.until(&format!("{code}'s password works again"), mended).await;
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

/// What removing a key must not change: the login as PostgreSQL stores it, and the Secret.
async fn credentials(world: &World, namespace: &str, code: &str) -> [Value; 2] {
    let names = names(&world.schools(namespace).get(code).await.unwrap());
    let secret = Api::<Secret>::namespaced(world.client.clone(), namespace).get(names.secret.as_str()).await.unwrap();
    [role(&mut world.beside(&names).await, names.login.as_str()).await, whole(&secret)]
}

/// A reconcile of the School ended with nothing to do, in the operator that runs now.
fn settled(world: &World, code: &str) -> bool {
    let name = format!(r#"name="{code}""#);
    world.operator.log().lines().any(|line| line.contains(&name) && line.contains("nothing to execute plan=Settled"))
}

#[test]
fn removing_an_old_sealing_key_changes_no_password_and_rolls_out_no_application() {
    run(async {
        let (mut world, namespace) = world_with_schools().await;
        let mut before = Vec::new();
        for (code, _) in SCHOOLS {
            before.push(credentials(&world, &namespace, code).await);
        }
        let (old, new) = (world.options.sealing_keys.clone(), Keyring::generate_file("k2").unwrap().expose_secret().to_owned());
        world.options.sealing_keys = format!("{new}{old}");
        world.replace_operator(&[]).await;
        let sealed = async || {
            let query = "SELECT count(*) FROM registry.tenants WHERE key_id = 'k2'";
            sqlx::query_scalar::<_, i64>(query).fetch_one(&mut world.master().await).await.unwrap() == 2
        };
        world.until("everything is sealed with the new key", sealed).await;
        world.options.sealing_keys = new;
        world.replace_operator(&[]).await;
        for ((code, _), before) in SCHOOLS.into_iter().zip(before) {
            world.until(&format!("{code} is reconciled without the old key"), async || settled(&world, code)).await;
            assert_eq!(credentials(&world, &namespace, code).await, before, "{code}");
            assert!(log_in(&world.secret(&namespace, &format!("{code}-db")).await.unwrap(), None).await.is_ok());
        }
        let log = world.operator.log();
        for action in ["set_password", "repair_secret"] {
            assert!(!log.contains(action), "{action} was executed");
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}
