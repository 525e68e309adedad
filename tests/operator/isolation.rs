//! One school's credentials open no other database.

use std::collections::BTreeMap;

use serde_json::json;

use crate::sources::{execute, list, names};
use crate::world::{Setup, World, log_in, run, sqlstate};

/// Databases that a plain admin may not close: the server says so, and does what it says.
async fn close_what_the_server_names(world: &World) {
    let message = async || {
        let server = world.servers().get("pg-15").await.unwrap();
        let conditions = server.status.and_then(|status| status.conditions).unwrap_or_default();
        conditions.into_iter().find(|c| c.type_ == "Ready" && c.status == "True").map(|c| c.message)
    };
    world.until("pg-15 is ready", async || message().await.is_some()).await;
    let open = message().await.unwrap();
    assert!(open.contains("every login may connect to postgres, template1: "), "{open}");
    assert!(open.ends_with("grant CONNECT to operator_admin and then revoke ALL from PUBLIC"), "{open}");
    let mut conn = World::superuser(&world.pg15, "postgres").await;
    for name in ["postgres", "template1"] {
        execute(&mut conn, &format!("GRANT CONNECT ON DATABASE {name} TO operator_admin; REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await;
    }
    let content = async || message().await.is_some_and(|message| !message.contains("every login"));
    world.until("pg-15 has nothing to say against its databases", content).await;
}

#[test]
fn no_school_enters_any_database_but_its_own() {
    run(async {
        let world = World::new(Setup::default()).await;
        close_what_the_server_names(&world).await;
        let namespace = world.fresh_namespace().await;
        let schools: Vec<_> = (0..6).map(|n| (format!("jay-{n}"), if n % 2 == 0 { "standard" } else { "premium" })).collect();
        for (code, tier) in &schools {
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
        }
        let mut secrets = Vec::new();
        for (code, _) in &schools {
            let names = names(&world.ready(&namespace, code).await);
            secrets.push(world.secret(&namespace, names.secret.as_str()).await.unwrap());
        }
        let mut targets = Vec::new();
        for server in [&world.pg18, &world.pg15] {
            let mut conn = World::superuser(server, "postgres").await;
            let template = list(&mut conn, "SELECT datname::text FROM pg_database WHERE datname LIKE 'dc_template_%'").await.remove(0);
            let spare = format!("{}_{}", template.replace("template", "spare"), "5a".repeat(16));
            execute(&mut conn, &format!("CREATE DATABASE {spare} TEMPLATE {template} OWNER tenant_owner CONNECTION LIMIT 0")).await;
            let found = list(&mut conn, "SELECT datname::text FROM pg_database").await;
            for expected in ["postgres", "template0", "template1", &template, &spare] {
                assert!(found.iter().any(|name| name == expected), "{expected} is not among {found:?}");
            }
            targets.extend(found.into_iter().map(|name| (server.port().to_string(), name)));
        }
        assert!(targets.iter().any(|(_, name)| name == "dailycare_master"));
        assert_eq!(targets.iter().filter(|(_, name)| name.starts_with("dailycare_tenant_jay_")).count(), 6);
        for secret in &secrets {
            log_in(secret, None).await.unwrap();
            for (port, name) in targets.iter().filter(|(port, name)| (port, name) != (&secret["port"], &secret["database"])) {
                let mut elsewhere = secret.clone();
                elsewhere.insert("port".to_owned(), port.clone());
                let code = answer(&elsewhere, name).await;
                // No CONNECT; nobody may enter; no such login there; within a spare's connection limit of 0 there is room for superusers only.
                let expected = ["42501", "55000", "28P01"].contains(&code.as_str()) || (is_spare(name) && code == "53300");
                assert!(expected, "{} into {name} on {port}: {code:?}", secret["username"]);
            }
        }
    });
}

fn is_spare(database: &str) -> bool {
    database.starts_with("dc_spare_")
}

/// What the server answers to a login: an SQLSTATE, or nothing when it let the login in. One that is full is tried again.
async fn answer(secret: &BTreeMap<String, String>, database: &str) -> String {
    loop {
        match log_in(secret, Some(database)).await {
            Ok(_) => return String::new(),
            Err(error) => {
                if let Some(code) = sqlstate(&error).filter(|code| code != "53300" || is_spare(database)) {
                    return code;
                }
            }
        }
    }
}
