//! Servers that refuse SCRAM verifiers: what is said of them, and plain passwords over TLS as the way out.

use std::fs;

use kube::api::{Patch, PatchParams};
use operator::crd::DatabaseServer;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use testing::{Postgres, PostgresOptions, Refusal, TlsFront, Version};

use crate::fleet::{server_message, server_spec};
use crate::world::{Setup, World, conditions, log_in, run};

/// A server that refuses verifiers and logs all that it can, behind TLS, as Neon's are. The directory holds what refuses them.
async fn refusing(refusal: Refusal) -> (Postgres, TlsFront, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = PostgresOptions::default().with("log_statement", "all").with("log_min_duration_statement", "0");
    let server = Postgres::start(Version::V18, options.refusing_verifiers(refusal, directory.path()).await.unwrap()).await.unwrap();
    let front = TlsFront::start(server.port()).await.unwrap();
    (server, front, directory)
}

async fn register(world: &World, name: &str, (server, front): (&Postgres, &TlsFront), fields: &Value) -> DatabaseServer {
    world.admin_secret(&format!("{name}-admin"), "postgres", server.superuser_password()).await;
    world.apply_server(name, server_spec(name, front.port(), &json!({"tls": {"mode": "require"}}))).await;
    let refused = world.server_when(name, "Stalled", "True", "PasswordRefused").await;
    assert!(server_message(&refused, "Ready").contains("set spec.passwords: Plain on its DatabaseServer"), "{refused:#?}");
    world.apply_server(name, server_spec(name, front.port(), fields)).await;
    world.server_when(name, "Ready", "True", "Ready").await
}

#[test]
fn a_server_that_refuses_verifiers_says_what_to_set_and_with_it_schools_become_ready_and_log_in() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        for (name, refusal) in [("credcheck", Refusal::InStatement), ("neon", Refusal::AtCommit)] {
            let (server, front, _module) = refusing(refusal).await;
            register(&world, name, (&server, &front), &json!({"tls": {"mode": "require"}, "passwords": "Plain"})).await;
            world.apply_school(&namespace, name, json!({"placement": {"serverName": name}})).await;
            world.ready(&namespace, name).await;
            let secret = world.secret(&namespace, &format!("{name}-db")).await.unwrap();
            log_in(&secret, None).await.unwrap();
            // A password that somebody changed is set back over the same way.
            let change = format!("ALTER ROLE {} PASSWORD 'changed by a colleague'", secret["username"]);
            sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut World::superuser(&server, "postgres").await).await.unwrap();
            let touch = Patch::Merge(json!({"spec": {"displayName": "Touched"}}));
            world.schools(&namespace).patch(name, &PatchParams::default(), &touch).await.unwrap();
            world.until("the password is set back", async || log_in(&secret, None).await.is_ok()).await;
            let log = fs::read_to_string(server.log_path()).unwrap();
            assert!(log.contains("ALTER DATABASE") && !log.contains(&secret["password"]), "the password is in the server's log");
            assert!(!world.operator.log().contains(&secret["password"]));
        }
    });
}

#[test]
fn a_school_whose_server_refuses_verifiers_says_what_to_set() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let (server, front, _module) = refusing(Refusal::InStatement).await;
        world.admin_secret("strict-admin", "postgres", server.superuser_password()).await;
        world.apply_server("strict", server_spec("strict", front.port(), &json!({"tls": {"mode": "require"}}))).await;
        world.server_when("strict", "Stalled", "True", "PasswordRefused").await;
        // Before it is placed: by what its server says.
        world.apply_school(&namespace, "early", json!({"placement": {"serverName": "strict"}})).await;
        let school = world.school_when(&namespace, "early", "Ready", "False", "ServerNotReady").await;
        let ready = conditions(Some(&school)).into_iter().find(|c| c.type_ == "Ready").unwrap();
        assert!(ready.message.contains("PasswordRefused") && ready.message.contains("set spec.passwords: Plain"), "{}", ready.message);
        world.apply_server("strict", server_spec("strict", front.port(), &json!({"tls": {"mode": "require"}, "passwords": "Plain"}))).await;
        world.ready(&namespace, "early").await;
        // On a server that began to refuse them later: by its own action.
        world.apply_server("strict", server_spec("strict", front.port(), &json!({"tls": {"mode": "require"}}))).await;
        world.server_when("strict", "Ready", "True", "Ready").await;
        world.apply_school(&namespace, "late", json!({"placement": {"serverName": "strict"}})).await;
        let school = world.school_when(&namespace, "late", "Stalled", "True", "PasswordRefused").await;
        let stalled = conditions(Some(&school)).into_iter().find(|c| c.type_ == "Stalled").unwrap();
        assert!(
            stalled.message.ends_with("or let the server accept verifiers (credcheck.encrypted_password_allowed)"),
            "{}",
            stalled.message
        );
        world.ready(&namespace, "early").await;
        world.apply_server("strict", server_spec("strict", front.port(), &json!({"tls": {"mode": "require"}, "passwords": "Plain"}))).await;
        world.ready(&namespace, "late").await;
    });
}
