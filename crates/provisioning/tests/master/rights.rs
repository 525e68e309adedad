//! What the API's role may do in the master database, and that no password reaches a log.

use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{publish, reserve};
use provisioning::master::users::create_admin;
use testing::Version;

use crate::fixtures::{Admin, DATABASE, Master, execute, publication, refusal, registry, reservation, tenant_ref};
use crate::users::person;

/// What the API needs.
const ALLOWED: [&str; 18] = [
    "SELECT * FROM registry.tenants",
    "SELECT * FROM registry.users",
    "SELECT max(version) FROM registry.schema_migrations",
    "UPDATE registry.users SET last_login_at = now(), failed_logins = 0, locked_until = NULL, password_hash = 'h', must_change_password = false",
    "INSERT INTO registry.access_audit (action, resource, success) VALUES ('login', 'tenants', false)",
    "INSERT INTO registry.users (tenant_id, name, email, password_hash, role) SELECT id, 'x', 'x@x', 'x', 'Teacher' FROM registry.tenants",
    "UPDATE registry.users SET name = 'y', email = 'y@y', phone_number = '1', role = 'ReadOnly', is_active = false, is_deleted = true WHERE name = 'x'",
    "SELECT registry.erase_accounts(ARRAY(SELECT id FROM registry.users WHERE name = 'y'))",
    "INSERT INTO registry.refresh_tokens (family, user_id, current, salt, expires_at, ends_at)
         SELECT gen_random_uuid(), id, sha256('a'), sha256('b'), now(), now() FROM registry.users",
    "UPDATE registry.refresh_tokens SET current = previous, previous = current, rotated_at = now(), expires_at = ends_at WHERE false",
    "DELETE FROM registry.refresh_tokens",
    "INSERT INTO registry.account_keys (tenant_id, user_id, key, request_hash) SELECT tenant_id, id, 'k', sha256('x') FROM registry.users",
    "UPDATE registry.account_keys SET account_id = user_id",
    "DELETE FROM registry.account_keys",
    "SELECT * FROM registry.access_audit",
    "SELECT registry.ensure_access_audit_partitions(2)",
    "LISTEN tenants",
    "LISTEN users",
];

/// What would let the API change a tenant, raise its own rights or hide what it did.
const REFUSED: [&str; 25] = [
    "UPDATE registry.tenants SET name = 'x'",
    "DELETE FROM registry.tenants",
    "SELECT registry.delete_tenant(id, school_uid, cluster_uid) FROM registry.tenants",
    "INSERT INTO registry.tenants (name, code, email) VALUES ('x', 'xx', 'x@x')",
    "UPDATE registry.users SET role = 'PlatformAdmin', tenant_id = NULL",
    "UPDATE registry.users SET tenant_id = gen_random_uuid()",
    "UPDATE registry.users SET role = 'PlatformAdmin'",
    "UPDATE registry.users SET sessions_valid_from = now()",
    "UPDATE registry.users SET id = gen_random_uuid()",
    "UPDATE registry.refresh_tokens SET user_id = gen_random_uuid()",
    "UPDATE registry.refresh_tokens SET ends_at = now()",
    "INSERT INTO registry.users (name, email, password_hash, role) VALUES ('x', 'x@x', 'x', 'PlatformAdmin')",
    "DELETE FROM registry.users",
    "UPDATE registry.account_keys SET expires_at = 'infinity'",
    "UPDATE registry.access_audit SET success = true",
    "DELETE FROM registry.access_audit",
    "TRUNCATE registry.access_audit",
    "DROP TABLE registry.access_audit_default",
    "DELETE FROM registry.access_audit_default",
    "INSERT INTO registry.access_audit_default (action, resource, success) VALUES ('x', 'x', true)",
    "ALTER TABLE registry.access_audit DETACH PARTITION registry.access_audit_default",
    "INSERT INTO registry.schema_migrations (version, name, checksum) VALUES (99, 'x', 'x')",
    "CREATE TABLE registry.x ()",
    "CREATE TABLE public.x ()",
    "SET ROLE dailycare_operator",
];

#[tokio::test]
async fn the_api_reads_routes_updates_logins_adds_audit_rows_and_nothing_else() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        let pool = master.bootstrap().await;
        reserve(&pool, &reservation(1, "norte")).await.unwrap();
        create_admin(&pool, tenant_ref(1), &person("ana@norte.example"), "$argon2id$").await.unwrap();
        let mut superuser = master.superuser("postgres").await;
        execute(&mut superuser, "CREATE ROLE api LOGIN PASSWORD 'x' IN ROLE dailycare_api").await;
        let mut api = master.login("api", "x", DATABASE).await.unwrap();
        for allowed in ALLOWED {
            assert_eq!(refusal(&mut api, allowed).await, None, "{allowed}");
        }
        for refused in REFUSED {
            assert_eq!(refusal(&mut api, refused).await.as_deref(), Some("42501"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_server_that_logs_every_statement_logs_no_password() {
    let (master, pool) = registry().await;
    let keyring = Keyring::parse(&Keyring::generate_file("k1").unwrap()).unwrap();
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    publish(&pool, &publication(1, "norte"), &keyring).await.unwrap();
    let log = master.log();
    assert!(log.contains("UPDATE registry.tenants"), "the log does not show statements");
    assert!(!log.contains("canary-password"));
    assert!(!log.contains(&master.password));
}
