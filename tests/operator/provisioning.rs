//! From one manifest to a Ready school.

use serde_json::json;
use sqlx::Executor as _;

use crate::world::{World, log_in, run};

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
