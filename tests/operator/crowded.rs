//! A server whose connections are all taken: the school that takes them can still be closed.

use kube::api::{Patch, PatchParams};
use serde_json::json;
use sqlx::postgres::PgConnection;
use testing::{Postgres, PostgresOptions, Version};

use crate::fleet::{order, server_message, server_says};
use crate::world::{Setup, World, log_in, run, sqlstate};

/// Sessions of one school, as many as the server lets in.
struct Crowd(Vec<PgConnection>);

impl Crowd {
    /// Takes every connection that is free. A server that answers otherwise than that it is full is a failure.
    async fn fill(&mut self, world: &World, namespace: &str, secret: &str) {
        let secret = world.secret(namespace, secret).await.unwrap();
        loop {
            match log_in(&secret, None).await {
                Ok(session) => self.0.push(session),
                Err(error) => return assert_eq!(sqlstate(&error).as_deref(), Some("53300"), "{error}"),
            }
        }
    }
}

async fn suspend(world: &World, namespace: &str, name: &str) {
    let patch = Patch::Merge(json!({"spec": {"state": "Suspended"}}));
    world.schools(namespace).patch(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn crowded_server(world: &World, name: &str, version: Version, settings: &[(&str, &str)]) -> (Postgres, String) {
    let options = PostgresOptions { max_connections: 20, ..PostgresOptions::default() };
    let options = settings.iter().fold(options, |options, (setting, value)| options.with(setting, value));
    let server = Postgres::start(version, options).await.unwrap();
    // Not a superuser: for those PostgreSQL keeps connections.
    let admin = format!("{}_admin", name.replace('-', "_"));
    let password = server.create_plain_admin(&admin).await.unwrap();
    world.admin_secret(&format!("{name}-admin"), &admin, &password).await;
    world.declare_server(name, server.port(), &["standard"]).await;
    world.server_when(name, "Ready", "True", "Ready").await;
    (server, admin)
}

fn spec(server: &str) -> serde_json::Value {
    json!({"placement": {"serverName": server}, "database": {"connectionLimit": 100}})
}

#[test]
fn a_school_whose_sessions_fill_the_server_can_be_suspended_and_the_others_are_served_again() {
    run(async {
        let world = World::new(Setup::default()).await;
        let (_server, _) = crowded_server(&world, "crowded", Version::V15, &[]).await;
        let namespace = world.fresh_namespace().await;
        for code in ["noisy", "quiet"] {
            world.apply_school(&namespace, code, spec("crowded")).await;
            world.ready(&namespace, code).await;
        }
        let mut crowd = Crowd(Vec::new());
        let mut object = None;
        world
            .until("the server says that it is full", async || {
                crowd.fill(&world, &namespace, "noisy-db").await;
                let server = world.servers().get("crowded").await.unwrap();
                let says = server_says(&server, "Ready", "False", "TooManyConnections");
                object = Some(server).filter(|_| says);
                says
            })
            .await;
        let object = object.unwrap();
        assert!(server_says(&object, "Reachable", "True", "Connected"), "a session that is held counts as contact: {object:#?}");
        assert!(server_message(&object, "Ready").contains("schools can still be suspended and deleted"), "{object:#?}");
        world.school_when(&namespace, "quiet", "Ready", "False", "TooManyConnections").await;
        suspend(&world, &namespace, "noisy").await;
        world.school_when(&namespace, "noisy", "Ready", "True", "Suspended").await;
        let refused = log_in(&world.secret(&namespace, "noisy-db").await.unwrap(), None).await.unwrap_err();
        assert_eq!(sqlstate(&refused).as_deref(), Some("28000"));
        world.server_when("crowded", "Ready", "True", "Ready").await;
        world.ready(&namespace, "quiet").await;
        log_in(&world.secret(&namespace, "quiet-db").await.unwrap(), None).await.unwrap();
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_admin_for_whom_connections_are_reserved_gets_in_although_the_server_is_full() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let (server, _) = crowded_server(&world, "reserved", Version::V18, &[("reserved_connections", "4")]).await;
        order(&server, "postgres", "GRANT pg_use_reserved_connections TO reserved_admin").await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "loud", spec("reserved")).await;
        world.ready(&namespace, "loud").await;
        // A new process holds no session yet.
        world.operator.stop().await.unwrap();
        let mut crowd = Crowd(Vec::new());
        crowd.fill(&world, &namespace, "loud-db").await;
        world.start_operator(&[]);
        suspend(&world, &namespace, "loud").await;
        world.school_when(&namespace, "loud", "Ready", "True", "Suspended").await;
        world.server_when("reserved", "Ready", "True", "Ready").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}
