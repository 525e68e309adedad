//! From one manifest to a Ready school.

use std::collections::BTreeSet;

use argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::sources::{json_of, names, psql};
use crate::world::{World, conditions, log_in, run};

/// A tier of each server.
const BOTH: [(&str, &str); 2] = [("standard", "pg-18"), ("premium", "pg-15")];

#[test]
fn an_applied_school_becomes_ready_with_a_login_that_works_in_its_own_database() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (code, tier) in [("alder", "standard"), ("birch", "premium")] {
            world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
        }
        for (code, server) in [("alder", "pg-18"), ("birch", "pg-15")] {
            let school = world.ready(&namespace, code).await;
            assert_eq!(school.status.unwrap().placement.unwrap().server_name.as_deref(), Some(server));
            let secret = world.secret(&namespace, &format!("{code}-db")).await.unwrap();
            let mut conn = log_in(&secret, None).await.unwrap();
            conn.execute("INSERT INTO app.classes (name, school_year) VALUES ('Ducklings', 2026)").await.unwrap();
            let admin = world.secret(&namespace, &format!("{code}-admin")).await.unwrap();
            assert_eq!(admin["email"], format!("ana@{code}.{namespace}.example"));
        }
    });
}

#[test]
fn the_status_tells_everything_a_person_needs_to_find_the_school() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "cedar-1", json!({"placement": {"tier": "premium"}})).await;
        let school = world.ready(&namespace, "cedar-1").await;
        let mut status = serde_json::to_value(school.status.as_ref().unwrap()).unwrap();
        let row = world.tenant_row(&names(&school)).await;
        assert!(status["placement"]["boundAt"].take().is_string());
        assert!(status["database"]["createdAt"].take().is_string());
        assert_eq!(status["placement"]["reason"].take().as_str().unwrap(), "the only server with room in tier premium");
        let schema = row["schema_version"].as_u64().unwrap();
        assert!(schema > 0);
        let kinds: BTreeSet<_> = conditions(Some(&school)).into_iter().map(|c| (c.type_, c.status)).collect();
        let condition = |kind: &str, status: &str| (kind.to_owned(), status.to_owned());
        let stands = ["Ready", "Available", "ServerAssigned", "DatabaseReady", "SchemaReady", "CredentialsReady"]
            .map(|kind| condition(kind, "True"));
        let does_not = ["Reconciling", "Stalled", "Suspended"].map(|kind| condition(kind, "False"));
        assert_eq!(kinds, stands.into_iter().chain(does_not).collect());
        status["conditions"].take();
        assert_eq!(
            status,
            json!({
                "observedGeneration": school.metadata.generation, "conditions": null, "operatorVersion": env!("CARGO_PKG_VERSION"),
                "tenantId": row["id"], "binding": {"name": "cedar-1-db"},
                "placement": {"serverName": "pg-15", "tier": "premium", "boundAt": null, "reason": null},
                "database": {"name": "dailycare_tenant_cedar_1", "host": "127.0.0.1", "port": world.pg15.port(), "createdAt": null},
                "schema": {"version": schema, "target": schema},
                "credentials": {"secretName": "cedar-1-db", "activeLogin": "dailycare_tenant_cedar_1_a"},
                "adminUser": {"name": "Ana Sousa", "email": format!("ana@cedar-1.{namespace}.example"), "secretName": "cedar-1-admin"},
            })
        );
    });
}

#[test]
fn kubectl_waits_for_a_school_and_lists_and_selects_it() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "elm", json!({"placement": {"tier": "basic"}, "deletionPolicy": "Delete"})).await;
        world.apply_school(&namespace, "fir", json!({"placement": {"tier": "premium"}, "state": "Suspended"})).await;
        let here = ["--namespace", namespace.as_str()];
        world.kubectl(&[&here[..], &["wait", "--for=condition=Ready", "--timeout=90s", "school/elm", "school/fir"]].concat()).await;

        let table = world.kubectl(&[&here[..], &["get", "schools", "-o", "wide"]].concat()).await;
        let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "READY", "STATUS", "TIER", "SERVER", "SCHEMA", "AGE", "DATABASE", "SECRET", "STATE", "MESSAGE"]);
        assert_eq!(rows[1][..5], ["elm", "True", "Ready", "basic", "pg-18"]);
        assert_eq!(rows[2][..5], ["fir", "True", "Suspended", "premium", "pg-15"]);
        assert_eq!(rows[2][7..10], ["dailycare_tenant_fir", "fir-db", "Suspended"]);

        let all = "school.dailycare.io/elm\nschool.dailycare.io/fir";
        for (selector, found) in [
            ("status.placement.serverName=pg-15", "school.dailycare.io/fir"),
            ("status.placement.tier=basic", "school.dailycare.io/elm"),
            ("spec.placement.tier=premium", "school.dailycare.io/fir"),
            ("spec.deletionPolicy=Delete", "school.dailycare.io/elm"),
            ("spec.state=Suspended", "school.dailycare.io/fir"),
            ("status.placement.serverName!=nowhere", all),
        ] {
            let listed = world.kubectl(&[&here[..], &["get", "sch", "-o", "name", "--field-selector", selector]].concat()).await;
            assert_eq!(listed, found, "{selector}");
        }
    });
}

#[test]
fn the_secret_binds_an_application_and_its_uri_logs_in_with_psql() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (tier, _) in BOTH {
            world.apply_school(&namespace, &format!("gum-{tier}"), json!({"placement": {"tier": tier}})).await;
        }
        for (tier, server) in BOTH {
            let code = format!("gum-{tier}");
            let names = names(&world.ready(&namespace, &code).await);
            let secret = world.secret(&namespace, &format!("{code}-db")).await.unwrap();
            let keys: Vec<_> = secret.keys().map(String::as_str).collect();
            let expected = [
                "database", "dbname", "host", "jdbc-uri", "jdbc-url", "password", "pgpass", "port", "provider", "sslmode", "type", "uri",
                "user", "username",
            ];
            assert_eq!(keys, expected);
            assert_eq!((secret["type"].as_str(), secret["provider"].as_str()), ("postgresql", "dailycare"));
            assert_eq!((secret["host"].as_str(), secret["port"].clone()), ("127.0.0.1", world.server(server).port().to_string()));
            assert_eq!((secret["username"].as_str(), secret["database"].as_str()), (names.login.as_str(), names.database.as_str()));
            let printed =
                psql(&secret["uri"], "SELECT current_user || ' ' || current_database() || ' ' || count(*) FROM app.classes").await;
            assert_eq!(printed, format!("{} {} 0", names.login, names.database));
        }
    });
}

#[test]
fn the_registry_has_the_route_and_credentials_that_only_the_keyring_opens() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        for (tier, _) in BOTH {
            world
                .apply_school(&namespace, &format!("hazel-{tier}"), json!({"placement": {"tier": tier}, "phoneNumber": "+351 210 000 000"}))
                .await;
        }
        for (tier, server) in BOTH {
            let school = world.ready(&namespace, &format!("hazel-{tier}")).await;
            let names = names(&school);
            let row = world.tenant_row(&names).await;
            let port = world.server(server).port();
            for (column, value) in [
                ("code", json!(format!("hazel-{tier}"))),
                ("name", json!(format!("School hazel-{tier}"))),
                ("email", json!(format!("office@hazel-{tier}.example"))),
                ("phone_number", json!("+351 210 000 000")),
                ("state", json!("active")),
                ("is_active", json!(true)),
                ("is_deleted", json!(false)),
                ("school_uid", json!(school.metadata.uid)),
                ("school_namespace", json!(namespace)),
                ("server", json!(server)),
                ("pool_size", json!(100)),
                (
                    "connection_string",
                    json!(format!("Host=127.0.0.1;Port={port};Database={};Username={};SSL Mode=Disable", names.database, names.login)),
                ),
            ] {
                assert_eq!(row[column], value, "{column}");
            }
            assert!(row["activated_at"].is_string());
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let sealed = world.unsealed(&names).await.unwrap();
            assert_eq!((sealed.username.as_str(), sealed.password.expose_secret()), (names.login.as_str(), secret["password"].as_str()));
            assert!(!row.to_string().contains(&secret["password"]), "the row holds the password in clear");
        }
    });
}

#[test]
fn the_first_administrator_signs_in_with_the_temporary_password_and_must_change_it() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "ivy", json!({})).await;
        let names = names(&world.ready(&namespace, "ivy").await);
        let admin = world.secret(&namespace, "ivy-admin").await.unwrap();
        assert_eq!(admin.keys().collect::<Vec<_>>(), ["email", "name", "password"]);
        let users = format!("SELECT * FROM registry.users WHERE tenant_id = '{}'", names.tenant);
        let user = json_of(&mut world.master().await, &users).await;
        for (column, value) in [
            ("name", json!("Ana Sousa")),
            ("email", json!(format!("ana@ivy.{namespace}.example"))),
            ("role", json!("SchoolAdmin")),
            ("must_change_password", json!(true)),
            ("is_active", json!(true)),
            ("is_deleted", json!(false)),
            ("last_login_at", Value::Null),
        ] {
            assert_eq!(user[column], value, "{column}");
        }
        let hash = user["password_hash"].as_str().unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let verifies = |password: &str| Argon2::default().verify_password(password.as_bytes(), &PasswordHash::new(hash).unwrap());
        verifies(&admin["password"]).unwrap();
        verifies("another").unwrap_err();
    });
}

#[test]
fn making_a_school_takes_six_writes_to_the_api_server_at_most_and_one_event() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "juniper", json!({})).await;
        world.ready(&namespace, "juniper").await;
        let written = || world.operator_writes(&namespace).iter().any(|write| write.starts_with("create events"));
        world.until("an Event reports that the school is ready", async || written()).await;
        let writes = world.operator_writes(&namespace);
        // Of the six, one records that the database exists before a route leads to it.
        let events = writes.iter().filter(|write| write.starts_with("create events")).count();
        assert!(writes.len() - events <= 6 && events == 1, "{writes:#?}");
        assert!(writes.iter().any(|write| write.starts_with("create secrets juniper-db")), "the log misses writes: {writes:#?}");
    });
}
