//! Names that two want, and things of the wanted name that are somebody else's.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use operator::crd::School;
use serde_json::json;

use crate::sources::{database, execute, json_of, names, role, whole};
use crate::world::{World, run, says};

/// Waits until one of two Schools is Ready and the other one Stalled by the conflict: the winner first.
async fn contest(world: &World, schools: [(&str, &str); 2]) -> [School; 2] {
    let mut outcome = None;
    world
        .until("one wins and the other says NameConflict", async || {
            let mut both = Vec::new();
            for (namespace, name) in schools {
                both.push(world.schools(namespace).get(name).await.unwrap());
            }
            both.sort_by_key(|school| !says(school, "Ready", "True", "Ready"));
            let decided = says(&both[0], "Ready", "True", "Ready") && says(&both[1], "Stalled", "True", "NameConflict");
            outcome = decided.then_some(both);
            decided
        })
        .await;
    outcome.unwrap().try_into().unwrap()
}

async fn of_two_schools_with_one_code_one_wins(world: &World, code: &str, schools: [(&str, &str); 2]) {
    let delete = json!({"deletionPolicy": "Delete"});
    let apply = schools.map(|(namespace, name)| world.try_apply_school(namespace, name, code, delete.clone()));
    for applied in futures::future::join_all(apply).await {
        applied.unwrap();
    }
    let [winner, loser] = contest(world, schools).await;
    let (namespace, name) = (loser.namespace().unwrap(), loser.name_any());
    let lost = names(&loser);
    assert!(world.owned_objects(&lost).await.is_empty());
    assert!(world.tenant_row(&lost).await.is_null());
    for secret in [&lost.secret, &lost.admin_secret] {
        assert!(world.secret(&namespace, secret.as_str()).await.is_none(), "the loser owns Secret {secret}");
    }

    let won = names(&winner);
    let winners = winner.namespace().unwrap();
    let before = (world.tenant_row(&won).await, whole(&world.schools(&winners).get(&winner.name_any()).await.unwrap()));
    world.delete_school(&namespace, &name).await;
    assert_eq!(world.tenant_row(&won).await, before.0);
    assert_eq!(whole(&world.schools(&winners).get(&winner.name_any()).await.unwrap()), before.1);
    assert!(world.serves(&winners, &won).await, "the loser's deletion harmed the winner");

    world.try_apply_school(&namespace, &name, code, delete).await.unwrap();
    world.school_when(&namespace, &name, "Stalled", "True", "NameConflict").await;
    world.delete_school(&winners, &winner.name_any()).await;
    let successor = world.ready(&namespace, &name).await;
    assert_eq!(successor.metadata.generation, Some(1), "it went on without being touched");
    assert!(world.serves(&namespace, &names(&successor)).await);
}

#[test]
fn one_code_in_one_namespace_has_one_winner_and_the_other_takes_over_after_it() {
    run(async {
        let world = World::shared().await;
        let here = world.fresh_namespace().await;
        of_two_schools_with_one_code_one_wins(world, "wren", [(&here, "wren-a"), (&here, "wren-b")]).await;
        world.assert_statuses_are_true(&here).await;
    });
}

#[test]
fn one_code_in_two_namespaces_has_one_winner_and_the_other_takes_over_after_it() {
    run(async {
        let world = World::shared().await;
        let (here, there) = (world.fresh_namespace().await, world.fresh_namespace().await);
        of_two_schools_with_one_code_one_wins(world, "warbler", [(&here, "warbler"), (&there, "warbler")]).await;
        for namespace in [&here, &there] {
            world.assert_statuses_are_true(namespace).await;
        }
    });
}

#[test]
fn a_foreign_secret_of_the_name_is_left_alone_and_blocks_until_removed() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &namespace);
        let mut foreign = Vec::new();
        for (code, suffix) in [("anise", "db"), ("basil", "admin")] {
            let secret = json!({
                "metadata": {"name": format!("{code}-{suffix}"), "labels": {"dailycare.io/school": code}},
                "stringData": {"password": "somebody else's and long enough", "uri": "postgresql://elsewhere"},
            });
            foreign.push(secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap());
            world.apply_school(&namespace, code, json!({})).await;
        }
        for (code, secret) in ["anise", "basil"].into_iter().zip(&foreign) {
            let school = world.school_when(&namespace, code, "Stalled", "True", "SecretConflict").await;
            let said = crate::world::conditions(Some(&school)).into_iter().find(|c| c.type_ == "Ready").unwrap();
            assert!(said.status == "False" && said.message.contains(&secret.name_any()), "{}", said.message);
            assert_ne!(world.tenant_row(&names(&school)).await["state"], "active");
            assert_eq!(whole(&secrets.get(&secret.name_any()).await.unwrap()), whole(secret));
        }
        world.assert_statuses_are_true(&namespace).await;
        for secret in &foreign {
            secrets.delete(&secret.name_any(), &DeleteParams::default()).await.unwrap();
        }
        for code in ["anise", "basil"] {
            let school = world.ready(&namespace, code).await;
            assert!(world.serves(&namespace, &names(&school)).await);
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_foreign_database_or_login_of_the_name_is_left_alone_and_blocks_until_removed() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let schools = [
            ("chive-d", "standard", "CREATE DATABASE dailycare_tenant_chive_d"),
            ("chive-r", "standard", "CREATE ROLE dailycare_tenant_chive_r_a LOGIN PASSWORD 'theirs'"),
            ("cumin-d", "premium", "CREATE DATABASE dailycare_tenant_cumin_d"),
            ("cumin-r", "premium", "CREATE ROLE dailycare_tenant_cumin_r_a LOGIN PASSWORD 'theirs'"),
        ];
        let server = |tier: &str| if tier == "premium" { &world.pg15 } else { &world.pg18 };
        for (code, tier, create) in schools {
            execute(&mut World::superuser(server(tier), "postgres").await, create).await;
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
        }
        for (code, tier, _) in schools {
            let school = world.school_when(&namespace, code, "Stalled", "True", "OwnedByAnother").await;
            let names = names(&school);
            assert!(world.owned_objects(&names).await.is_empty());
            let mut conn = World::superuser(server(tier), "postgres").await;
            if code.ends_with("-d") {
                let plain = format!("SELECT datacl, datallowconn, datconnlimit FROM pg_database WHERE datname = '{}'", names.database);
                assert_eq!(json_of(&mut conn, &plain).await, json!({"datacl": null, "datallowconn": true, "datconnlimit": -1}));
                assert!(role(&mut conn, names.login.as_str()).await.is_null());
                execute(&mut conn, &format!("DROP DATABASE {}", names.database)).await;
            } else {
                let login = role(&mut conn, names.login.as_str()).await;
                assert_eq!((&login["rolcanlogin"], &login["comment"], &login["rolconnlimit"]), (&json!(true), &json!(null), &json!(-1)));
                assert!(database(&mut conn, names.database.as_str()).await.is_null());
                execute(&mut conn, &format!("DROP ROLE {}", names.login)).await;
            }
        }
        for (code, _, _) in schools {
            let school = world.ready(&namespace, code).await;
            assert!(world.serves(&namespace, &names(&school)).await);
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_administrator_with_another_schools_address_is_refused_until_it_changes() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let person = |email: &str| json!({"adminUser": {"name": "Eva", "email": email}});
        world.apply_school(&namespace, "dill", person("eva@dill.example")).await;
        let first = names(&world.ready(&namespace, "dill").await);
        world.apply_school(&namespace, "fennel", person("EVA@Dill.example")).await;
        let second = names(&world.school_when(&namespace, "fennel", "Stalled", "True", "EmailTaken").await);
        assert_eq!(world.tenant_row(&second).await["state"], "provisioning");
        let owner =
            json_of(&mut world.master().await, "SELECT tenant_id FROM registry.users WHERE lower(email) = 'eva@dill.example'").await;
        assert_eq!(owner["tenant_id"], first.tenant.to_string());
        world.apply_school(&namespace, "fennel", person("eva@fennel.example")).await;
        world.ready(&namespace, "fennel").await;
        assert_eq!(world.secret(&namespace, "fennel-admin").await.unwrap()["email"], "eva@fennel.example");
        world.assert_statuses_are_true(&namespace).await;
    });
}
