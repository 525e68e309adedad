//! Servers: what the operator reports of one, every way in which one cannot be used, and that it finds the way back without a change of the object.

use std::fs;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use operator::crd::DatabaseServer;
use postgres::schema::{Migrations, short};
use serde_json::json;
use testing::{Postgres, PostgresOptions, Version};
use tokio::sync::OnceCell;

use crate::fleet::{catalog, order, query_value, server_message, server_says, server_spec};
use crate::world::{SYSTEM, Setup, World, conditions, log_in, run};

/// Shared by the tests of this file: they declare servers of their own, and only Schools that name one are placed.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::new(Setup::default())).await
}

async fn secret(name: &str, data: serde_json::Value) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let api = Api::<Secret>::namespaced(world().await.client.clone(), SYSTEM);
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
}

/// A server that no other object is for and no other test administers.
async fn own(version: Version) -> Postgres {
    Postgres::start(version, PostgresOptions::default()).await.unwrap()
}

fn generation(server: &DatabaseServer) -> Option<i64> {
    server.metadata.generation
}

#[test]
fn a_server_tells_its_version_identity_schema_schools_and_conditions() {
    run(async {
        let world = world().await;
        let namespace = world.fresh_namespace().await;
        for (name, server, code, tier) in [("pg-18", &world.pg18, "ash", "standard"), ("pg-15", &world.pg15, "beech", "premium")] {
            let object = world.server_when(name, "Ready", "True", "Ready").await;
            let expected = [("Reachable", "Connected"), ("Schedulable", "AcceptingSchools"), ("CapacityAvailable", "RoomLeft")];
            assert!(expected.iter().all(|(kind, reason)| server_says(&object, kind, "True", reason)), "{object:#?}");
            assert!(["Reconciling", "Stalled"].iter().all(|kind| server_says(&object, kind, "False", "Ready")), "{object:#?}");
            let status = object.status.unwrap();
            assert_eq!(status.observed_generation, object.metadata.generation);
            assert_eq!(status.version, Some(query_value::<String>(server, "postgres", "SHOW server_version").await));
            let identifier = query_value::<String>(server, "postgres", "SELECT system_identifier::text FROM pg_control_system()").await;
            assert_eq!(status.system_identifier, Some(identifier));
            assert_eq!(status.schema.unwrap().version, Some(Migrations::tenant().unwrap().target()));
            let before = status.allocated.unwrap().schools.unwrap();
            world.apply_school(&namespace, code, json!({"placement": {"serverName": name, "tier": tier}})).await;
            world.ready(&namespace, code).await;
            world
                .until(&format!("{name} counts its school"), async || {
                    let status = world.servers().get(name).await.unwrap().status.unwrap();
                    status.allocated.unwrap().schools.unwrap() > before
                })
                .await;
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn the_template_stands_under_the_digest_of_the_schema_and_lets_nobody_but_a_reading_superuser_in() {
    run(async {
        let world = world().await;
        let template = format!("dc_template_{}", short(Migrations::tenant().unwrap().digest()));
        for (name, server) in [("pg-18", &world.pg18), ("pg-15", &world.pg15)] {
            world.server_when(name, "Ready", "True", "Ready").await;
            // `pg_upgrade` refuses a server with a database that allows no connections.
            let query = "SELECT string_agg(concat_ws(' ', datname, datistemplate, datallowconn, datconnlimit, pg_get_userbyid(datdba), datacl), ',')
                FROM pg_database WHERE datname ~ '^dc_(template|building)'";
            let frozen = format!("{template} t t 0 tenant_owner {{}}");
            world
                .until(&format!("{name} has the one template"), async || query_value::<String>(server, "postgres", query).await == frozen)
                .await;
            assert_eq!(query_value::<String>(server, &template, "SHOW transaction_read_only").await, "on");
        }
    });
}

/// Databases that PUBLIC may connect to.
const OPEN: &str = "SELECT coalesce(string_agg(datname, ', ' ORDER BY datname), '') FROM pg_database d WHERE datallowconn AND EXISTS
    (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT')";

#[test]
fn the_maintenance_databases_are_closed_to_everybody_or_a_person_is_told_to_close_them() {
    run(async {
        // Another test may administer the shared world's servers as their superuser.
        let world = World::new(Setup::default()).await;
        world.server_when("pg-18", "Ready", "True", "Ready").await;
        assert_eq!(query_value::<String>(&world.pg18, "postgres", OPEN).await, "");
        // Only their owner, a superuser, may close those of the other server.
        let object = world.server_when("pg-15", "Ready", "True", "Ready").await;
        assert_eq!(query_value::<String>(&world.pg15, "postgres", OPEN).await, "postgres, template1");
        assert!(
            server_message(&object, "Ready")
                .contains("may connect to postgres, template1: there, as the owner, grant CONNECT to operator_admin"),
            "{object:#?}"
        );
        order(
            &world.pg15,
            "postgres",
            "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO operator_admin",
        )
        .await;
        let closed = async || server_message(&world.servers().get("pg-15").await.unwrap(), "Ready") == "schools can be placed here";
        world.until("pg-15 stops warning", closed).await;
    });
}

#[test]
fn a_wrong_admin_password_is_reported_and_a_corrected_secret_noticed_by_itself() {
    run(async {
        let world = world().await;
        let server = own(Version::V18).await;
        world.admin_secret("typo-admin", "postgres", "not-the-password").await;
        world.declare_server("typo", server.port(), &["standard"]).await;
        let object = world.server_when("typo", "Ready", "False", "AuthenticationFailed").await;
        assert!(server_says(&object, "Reachable", "False", "AuthenticationFailed"), "{object:#?}");
        assert!(server_message(&object, "Ready").contains("correct the admin Secret"), "{object:#?}");
        world.admin_secret("typo-admin", "postgres", server.superuser_password()).await;
        let mended = world.server_when("typo", "Ready", "True", "Ready").await;
        assert_eq!(generation(&mended), generation(&object));
        // And a rotation that went wrong, on a server that was fine.
        world.admin_secret("typo-admin", "postgres", "not-this-one-either").await;
        world.server_when("typo", "Ready", "False", "AuthenticationFailed").await;
    });
}

#[test]
fn an_admin_secret_that_is_missing_or_lacks_a_key_is_told_by_its_name() {
    run(async {
        let world = world().await;
        let server = own(Version::V18).await;
        world.declare_server("bare", server.port(), &["standard"]).await;
        let object = world.server_when("bare", "Ready", "False", "AdminSecretInvalid").await;
        assert!(server_message(&object, "Ready").contains("Secret bare-admin is not in namespace dailycare-system"), "{object:#?}");
        secret("bare-admin", json!({"username": "postgres"})).await;
        let lacks =
            async || server_message(&world.servers().get("bare").await.unwrap(), "Ready").contains("lacks the key username or password");
        world.until("the missing key is reported", lacks).await;
        let nowhere = json!({"username": "postgres", "password": server.superuser_password(), "database": "nowhere"});
        secret("bare-admin", nowhere).await;
        let lost =
            async || server_message(&world.servers().get("bare").await.unwrap(), "Ready").contains("maintenance database does not exist");
        world.until("the missing maintenance database is reported", lost).await;
        secret("bare-admin", json!({"username": "postgres", "password": server.superuser_password(), "database": "postgres"})).await;
        world.server_when("bare", "Ready", "True", "Ready").await;
    });
}

#[test]
fn a_wrong_host_or_port_is_unreachable_and_a_corrected_one_is_used() {
    run(async {
        let world = world().await;
        let server = own(Version::V18).await;
        world.admin_secret("astray-admin", "postgres", server.superuser_password()).await;
        for wrong in [json!({"port": 1}), json!({"host": "no-such-host.invalid"}), json!({"host": "127.0.0.77"})] {
            world.apply_server("astray", server_spec("astray", server.port(), &wrong)).await;
            let object = world.server_when("astray", "Ready", "False", "DatabaseUnreachable").await;
            assert!(server_says(&object, "Reachable", "False", "DatabaseUnreachable"), "{object:#?}");
            assert!(server_says(&object, "Stalled", "False", "DatabaseUnreachable"), "{object:#?}");
        }
        world.apply_server("astray", server_spec("astray", server.port(), &json!({}))).await;
        world.server_when("astray", "Ready", "True", "Ready").await;
    });
}

#[test]
fn tls_is_never_done_without_when_it_is_asked_for() {
    run(async {
        let world = world().await;
        let server = own(Version::V18).await;
        world.admin_secret("plain-admin", "postgres", server.superuser_password()).await;
        let port = server.port();
        world.apply_server("plain", server_spec("plain", port, &json!({"tls": {"mode": "require"}}))).await;
        let object = world.server_when("plain", "Ready", "False", "TlsFailed").await;
        assert!(server_says(&object, "Reachable", "False", "TlsFailed"), "{object:#?}");
        let verifying = json!({"tls": {"mode": "verify-full", "caSecretRef": {"name": "plain-ca"}}});
        world.apply_server("plain", server_spec("plain", port, &verifying)).await;
        let object = world.server_when("plain", "Ready", "False", "AdminSecretInvalid").await;
        assert!(server_message(&object, "Ready").contains("plain-ca"), "{object:#?}");
    });
}

#[test]
fn a_certificate_is_verified_for_authority_and_host_and_schools_do_the_same() {
    run(async {
        let world = world().await;
        let options = PostgresOptions { tls: true, ..PostgresOptions::default() }.with("listen_addresses", "127.0.0.1,127.0.0.3");
        let stranger = PostgresOptions { tls: true, ..PostgresOptions::default() };
        let (server, stranger) = tokio::join!(Postgres::start(Version::V15, options), Postgres::start(Version::V15, stranger));
        let (server, stranger) = (server.unwrap(), stranger.unwrap());
        let authority = |server: &Postgres| fs::read_to_string(server.ca_path().unwrap()).unwrap();
        world.admin_secret("sealed-admin", "postgres", server.superuser_password()).await;
        secret("sealed-ca", json!({"ca.crt": authority(&stranger), "right.pem": authority(&server)})).await;
        let apply = async |host: &str, mode: &str, key: &str| {
            let changes = json!({"host": host, "tls": {"mode": mode, "caSecretRef": {"name": "sealed-ca", "key": key}}});
            world.apply_server("sealed", server_spec("sealed", server.port(), &changes)).await;
        };
        for (host, mode, key) in
            [("127.0.0.1", "verify-full", "ca.crt"), ("127.0.0.1", "verify-ca", "ca.crt"), ("127.0.0.3", "verify-full", "right.pem")]
        {
            apply(host, mode, key).await;
            world.server_when("sealed", "Ready", "False", "TlsFailed").await;
        }
        // The certificate is for 127.0.0.1 and localhost.
        for (host, mode) in [("127.0.0.3", "verify-ca"), ("localhost", "verify-full"), ("127.0.0.1", "verify-full")] {
            apply(host, mode, "right.pem").await;
            world.server_when("sealed", "Ready", "True", "Ready").await;
        }
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "sealed-school", json!({"placement": {"serverName": "sealed"}})).await;
        world.ready(&namespace, "sealed-school").await;
        let credentials = world.secret(&namespace, "sealed-school-db").await.unwrap();
        assert!(credentials["uri"].ends_with("sslmode=verify-full"));
        assert_eq!(credentials["certificates"], authority(&server));
        log_in(&credentials, None).await.unwrap();
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_admin_without_a_needed_right_is_told_which_and_granting_it_is_enough() {
    run(async {
        let world = world().await;
        let server = own(Version::V15).await;
        let password = server.create_plain_admin("half_admin").await.unwrap();
        order(&server, "postgres", "ALTER ROLE half_admin NOCREATEDB NOCREATEROLE").await;
        order(&server, "postgres", "GRANT CONNECT ON DATABASE postgres TO half_admin").await;
        world.admin_secret("half-admin", "half_admin", &password).await;
        let before = catalog(&server).await;
        world.declare_server("half", server.port(), &["standard"]).await;
        let object = world.server_when("half", "Ready", "False", "InsufficientPrivilege").await;
        assert_eq!(server_message(&object, "Stalled"), "the admin login lacks CREATEDB, CREATEROLE; grant it");
        assert!(server_says(&object, "Stalled", "True", "InsufficientPrivilege") && server_says(&object, "Reachable", "True", "Connected"));
        order(&server, "postgres", "ALTER ROLE half_admin CREATEDB").await;
        let one = async || server_message(&world.servers().get("half").await.unwrap(), "Stalled").contains("lacks CREATEROLE; grant");
        world.until("the other right is reported", one).await;
        let made = |catalog: &[String]| catalog.iter().filter(|line| line.contains("tenant_owner")).cloned().collect::<Vec<_>>();
        assert_eq!(made(&catalog(&server).await), made(&before), "nothing is made before the rights suffice");
        order(&server, "postgres", "ALTER ROLE half_admin SUPERUSER").await;
        world.server_when("half", "Ready", "True", "Ready").await;
    });
}

#[test]
fn a_server_that_is_too_old_is_refused_and_left_as_it_was() {
    run(async {
        let world = world().await;
        let server = Postgres::start(Version::V14, PostgresOptions::default()).await.unwrap();
        let before = catalog(&server).await;
        world.admin_secret("old-admin", "postgres", server.superuser_password()).await;
        world.declare_server("old", server.port(), &["standard"]).await;
        let object = world.server_when("old", "Stalled", "True", "VersionUnsupported").await;
        assert_eq!(server_message(&object, "Ready"), "PostgreSQL 15 or newer is needed; upgrade the server");
        assert!(object.status.unwrap().version.unwrap().starts_with("14."));
        assert_eq!(catalog(&server).await, before);
    });
}

#[test]
fn a_server_that_refuses_writes_is_waited_for_and_used_as_soon_as_it_accepts_them() {
    run(async {
        let world = world().await;
        let server = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
        order(&server, "postgres", "ALTER SYSTEM SET default_transaction_read_only = on").await;
        order(&server, "postgres", "SELECT pg_reload_conf()").await;
        let before = catalog(&server).await;
        world.admin_secret("still-admin", "postgres", server.superuser_password()).await;
        world.declare_server("still", server.port(), &["standard"]).await;
        let object = world.server_when("still", "Ready", "False", "ServerReadOnly").await;
        assert!(server_says(&object, "Reachable", "True", "Connected"), "{object:#?}");
        assert_eq!(catalog(&server).await, before);
        order(&server, "postgres", "ALTER SYSTEM RESET default_transaction_read_only").await;
        order(&server, "postgres", "SELECT pg_reload_conf()").await;
        world.server_when("still", "Ready", "True", "Ready").await;
    });
}

#[test]
fn a_replica_is_waited_for_and_used_once_it_is_promoted() {
    run(async {
        let world = world().await;
        let directory = tempfile::tempdir().unwrap();
        let options = PostgresOptions { directory: Some(directory.path().join("replica")), ..PostgresOptions::default() };
        let mut server = Postgres::start(Version::V15, options).await.unwrap();
        server.stop().await.unwrap();
        // A server that was stopped in order and finds this file recovers for ever, which is what a replica without its primary does.
        fs::write(directory.path().join("replica/data/standby.signal"), "").unwrap();
        server.start_again().await.unwrap();
        world.admin_secret("replica-admin", "postgres", server.superuser_password()).await;
        world.declare_server("replica", server.port(), &["standard"]).await;
        world.server_when("replica", "Ready", "False", "ServerReadOnly").await;
        order(&server, "postgres", "SELECT pg_promote()").await;
        world.server_when("replica", "Ready", "True", "Ready").await;
    });
}

#[test]
fn another_server_under_the_same_address_is_refused_and_touched_by_nobody() {
    run(async {
        let world = world().await;
        let (home, other) = tokio::join!(
            Postgres::start(Version::V15, PostgresOptions::default()),
            Postgres::start(Version::V18, PostgresOptions::default())
        );
        let (home, other) = (home.unwrap(), other.unwrap());
        world.add_server("moved", &home, &["standard"]).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "cedar", json!({"placement": {"serverName": "moved"}})).await;
        world.ready(&namespace, "cedar").await;
        let (before, identifier) = (catalog(&other).await, world.servers().get("moved").await.unwrap().status.unwrap().system_identifier);
        world.admin_secret("moved-admin", "postgres", other.superuser_password()).await;
        world.declare_server("moved", other.port(), &["standard"]).await;
        let object = world.server_when("moved", "Stalled", "True", "ServerIdentityMismatch").await;
        assert!(server_says(&object, "Ready", "False", "ServerIdentityMismatch"), "{object:#?}");
        assert_eq!(object.status.unwrap().system_identifier, identifier, "who it was stays recorded");
        world.school_when(&namespace, "cedar", "Ready", "False", "ServerIdentityMismatch").await;
        world.school_when(&namespace, "cedar", "Stalled", "True", "ServerIdentityMismatch").await;
        // A wish in the meantime is not granted there, and deletion waits.
        world.apply_school(&namespace, "cypress", json!({"placement": {"serverName": "moved"}})).await;
        world.school_when(&namespace, "cypress", "Ready", "False", "ServerNotReady").await;
        world.schools(&namespace).delete("cedar", &DeleteParams::default()).await.unwrap();
        world.school_when(&namespace, "cedar", "Ready", "False", "Terminating").await;
        assert_eq!(catalog(&other).await, before);
        world.admin_secret("moved-admin", "postgres", home.superuser_password()).await;
        world.declare_server("moved", home.port(), &["standard"]).await;
        world.server_when("moved", "Ready", "True", "Ready").await;
        world.ready(&namespace, "cypress").await;
        world.until("cedar is gone", async || world.schools(&namespace).get_opt("cedar").await.unwrap().is_none()).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_server_with_schools_is_kept_until_they_are_gone() {
    run(async {
        let world = world().await;
        let server = Postgres::start(Version::V15, PostgresOptions::default()).await.unwrap();
        world.add_server("leaving", &server, &["standard"]).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "leaving"}, "deletionPolicy": "Delete"});
        world.apply_school(&namespace, "dogwood", spec).await;
        world.ready(&namespace, "dogwood").await;
        world.servers().delete("leaving", &DeleteParams::default()).await.unwrap();
        let object = world.server_when("leaving", "Ready", "False", "Terminating").await;
        assert!(server_says(&object, "Reconciling", "True", "InUse"), "{object:#?}");
        assert!(server_message(&object, "Reconciling").contains("schools still live here"), "{object:#?}");
        let school = world.schools(&namespace).get("dogwood").await.unwrap();
        assert!(conditions(Some(&school)).iter().any(|c| c.type_ == "Ready" && c.status == "True"), "its schools are served on");
        world.delete_school(&namespace, "dogwood").await;
        world.until("the server is let go", async || world.servers().get_opt("leaving").await.unwrap().is_none()).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_cordoned_server_keeps_its_schools_and_takes_no_new_ones_until_it_is_opened_again() {
    run(async {
        let world = world().await;
        let server = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
        world.add_server("resting", &server, &["standard"]).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "resting"}});
        world.apply_school(&namespace, "elder", spec.clone()).await;
        world.ready(&namespace, "elder").await;
        world.apply_server("resting", server_spec("resting", server.port(), &json!({"schedulable": false}))).await;
        let object = world.server_when("resting", "Schedulable", "False", "ServerCordoned").await;
        assert!(server_says(&object, "Ready", "True", "Ready"), "{object:#?}");
        world.apply_school(&namespace, "elm", spec).await;
        world.school_when(&namespace, "elm", "ServerAssigned", "False", "ServerCordoned").await;
        world.ready(&namespace, "elder").await;
        world.apply_server("resting", server_spec("resting", server.port(), &json!({"capacity": {"maxSchools": 1}}))).await;
        world.server_when("resting", "CapacityAvailable", "False", "NoCapacity").await;
        world.school_when(&namespace, "elm", "Stalled", "True", "NoCapacity").await;
        world.apply_server("resting", server_spec("resting", server.port(), &json!({}))).await;
        world.ready(&namespace, "elm").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}
