//! One school's credentials open no other database.

use std::collections::BTreeMap;

use serde_json::json;

use crate::witness::{execute, list, names};
use crate::world::{World, log_in, run};

#[test]
fn no_school_enters_any_database_but_its_own() {
    run(async {
        let world = World::shared().await;
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
            execute(&mut conn, &format!("CREATE DATABASE {spare} TEMPLATE {template} OWNER tenant_owner ALLOW_CONNECTIONS false")).await;
            let all = "SELECT datname::text FROM pg_database WHERE datname NOT LIKE 'dailycare_tenant_%' OR datname LIKE 'dailycare_tenant_jay_%'";
            let found = list(&mut conn, all).await;
            for expected in ["postgres", "template0", "template1", &template] {
                assert!(found.iter().any(|name| name == expected), "{expected} is not among {found:?}");
            }
            targets.extend(found.into_iter().map(|name| (server.port().to_string(), name)));
        }
        assert!(targets.iter().any(|(_, name)| name == "dailycare_master"));
        for secret in &secrets {
            log_in(secret, None).await.unwrap();
            for (port, name) in targets.iter().filter(|(port, name)| (port, name) != (&secret["port"], &secret["database"])) {
                let mut elsewhere = secret.clone();
                elsewhere.insert("port".to_owned(), port.clone());
                let code = answer(&elsewhere, name).await;
                // No CONNECT; nobody enters at all; no such login there. A staged database may be claimed by another test meanwhile.
                let refusals: &[&str] =
                    if name.starts_with("dc_") { &["42501", "55000", "28P01", "3D000"] } else { &["42501", "55000", "28P01"] };
                assert!(refusals.contains(&code.as_str()), "{} into {name} on {port}: {code:?}", secret["username"]);
            }
        }
    });
}

/// The server's own word on a login: an SQLSTATE, or nothing when it let the login in. A busy machine that gives no answer in time is asked again.
async fn answer(secret: &BTreeMap<String, String>, database: &str) -> String {
    loop {
        match log_in(secret, Some(database)).await {
            Ok(_) => return String::new(),
            Err(error) => {
                if let Some(code) = error.sqlstate().filter(|code| code != "53300") {
                    return code;
                }
            }
        }
    }
}
