//! Servers whose host keeps the system identifier to itself: registered, told apart, and recognised by a marker.

use operator::crd::DatabaseServer;
use serde_json::json;
use sqlx::{AssertSqlSafe, raw_sql};
use testing::{Postgres, PostgresOptions, Version};

use crate::fleet::{query_value, server_message, server_spec};
use crate::world::{Setup, World, log_in, run};

const HIDE: &str = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC";
const SHOW: &str = "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC";
/// Every database and role, with its comment.
const COMMENTS: &str = "SELECT string_agg(comment, ' ' ORDER BY comment) FROM (SELECT datname || coalesce(shobj_description(oid, 'pg_database'), '') AS comment FROM pg_database
    UNION ALL SELECT rolname || coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles) AS comments";

async fn as_superuser(server: &Postgres, statement: &str) {
    raw_sql(AssertSqlSafe(statement)).execute(&mut World::superuser(server, "postgres").await).await.unwrap();
}

/// A server as hosts give it: a plain admin, who is not told the system identifier.
async fn hosted(world: &World, name: &str, version: Version) -> Postgres {
    let server = Postgres::start(version, PostgresOptions::default()).await.unwrap();
    as_superuser(&server, HIDE).await;
    let password = server.create_plain_admin("hosted_admin").await.unwrap();
    world.admin_secret(&format!("{name}-admin"), "hosted_admin", &password).await;
    server
}

fn identity(object: &DatabaseServer) -> (Option<String>, Option<String>) {
    let status = object.status.clone().unwrap();
    (status.system_identifier, status.marker)
}

#[test]
fn a_server_that_does_not_tell_its_system_identifier_is_registered_and_another_one_in_its_place_is_not_touched() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        for (name, version) in [("hosted-15", Version::V15), ("hosted-18", Version::V18)] {
            let server = hosted(&world, name, version).await;
            world.declare_server(name, server.port(), &["standard"]).await;
            let object = world.server_when(name, "Ready", "True", "Ready").await;
            let recorded = identity(&object);
            assert!(recorded.0.is_none() && recorded.1.is_some(), "{recorded:?}");
            world.apply_school(&namespace, name, json!({"placement": {"serverName": name}})).await;
            world.ready(&namespace, name).await;
            log_in(&world.secret(&namespace, &format!("{name}-db")).await.unwrap(), None).await.unwrap();

            // Another server under its address, with the same admin login.
            let mut other = hosted(&world, "elsewhere", version).await;
            let admin = world.secret("dailycare-system", &format!("{name}-admin")).await.unwrap();
            as_superuser(&other, &format!("ALTER ROLE hosted_admin PASSWORD '{}'", admin["password"])).await;
            let before: String = query_value(&other, "postgres", COMMENTS).await;
            world.apply_server(name, server_spec(name, other.port(), &json!({}))).await;
            let refused = world.server_when(name, "Stalled", "True", "ServerIdentityMismatch").await;
            assert_eq!(identity(&refused), recorded, "who it was stays recorded");
            world.school_when(&namespace, name, "Ready", "False", "ServerIdentityMismatch").await;
            assert_eq!(query_value::<String>(&other, "postgres", COMMENTS).await, before);
            other.stop().await.unwrap();

            world.replace_operator(&[]).await;
            world.apply_server(name, server_spec(name, server.port(), &json!({}))).await;
            let back = world.server_when(name, "Ready", "True", "Ready").await;
            assert_eq!(identity(&back), recorded);
            world.ready(&namespace, name).await;
        }
    });
}

#[test]
fn two_objects_for_a_server_are_told_apart_also_when_only_one_of_them_is_told_its_system_identifier() {
    run(async {
        let world = World::new(Setup::default()).await;
        let server = hosted(&world, "first", Version::V18).await;
        world.declare_server("first", server.port(), &["standard"]).await;
        world.server_when("first", "Ready", "True", "Ready").await;
        // By the superuser, to whom the server tells it.
        world.admin_secret("second-admin", "postgres", server.superuser_password()).await;
        world.apply_server("second", server_spec("second", server.port(), &json!({"host": "localhost"}))).await;
        let second = world.server_when("second", "Stalled", "True", "DuplicateServer").await;
        assert!(server_message(&second, "Ready").starts_with("DatabaseServer first is for the same PostgreSQL server"), "{second:#?}");
        assert_eq!(identity(&second), (None, None));
        // The other way round: the first is known by its system identifier, the second is not told it.
        let open = Postgres::start(Version::V15, PostgresOptions::default()).await.unwrap();
        world.add_server("third", &open, &["standard"]).await;
        as_superuser(&open, HIDE).await;
        let password = open.create_plain_admin("hosted_admin").await.unwrap();
        // The first object closed the maintenance database to everybody else.
        as_superuser(&open, "GRANT CONNECT ON DATABASE postgres TO hosted_admin").await;
        world.admin_secret("fourth-admin", "hosted_admin", &password).await;
        world.apply_server("fourth", server_spec("fourth", open.port(), &json!({"host": "localhost"}))).await;
        world.server_when("fourth", "Stalled", "True", "DuplicateServer").await;
    });
}

#[test]
fn a_server_that_hides_its_system_identifier_is_known_by_its_marker_and_without_one_nothing_is_touched() {
    run(async {
        let world = World::new(Setup::default()).await;
        let server = hosted(&world, "turned", Version::V18).await;
        as_superuser(&server, SHOW).await;
        world.declare_server("turned", server.port(), &["standard"]).await;
        let recorded = identity(&world.server_when("turned", "Ready", "True", "Ready").await);
        assert!(recorded.0.is_some() && recorded.1.is_some(), "{recorded:?}");
        as_superuser(&server, HIDE).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "turned", json!({"placement": {"serverName": "turned"}})).await;
        world.ready(&namespace, "turned").await;
        assert_eq!(identity(&world.server_when("turned", "Ready", "True", "Ready").await), recorded);
        // Nothing tells any more whether it is the recorded one.
        as_superuser(&server, "DROP ROLE dailycare_identity").await;
        let unknown = world.server_when("turned", "Reachable", "False", "InsufficientPrivilege").await;
        assert!(server_message(&unknown, "Reachable").contains("pg_catalog.pg_control_system()"), "{unknown:#?}");
        as_superuser(&server, SHOW).await;
        let back = identity(&world.server_when("turned", "Ready", "True", "Ready").await);
        assert!(back.0 == recorded.0 && back.1.is_some() && back.1 != recorded.1, "{back:?}");
    });
}
