//! What a server's trouble means for its schools: they are told its own reason, and nothing of what does not concern them.

use std::fs;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use operator::crd::School;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use testing::{Postgres, PostgresOptions, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

use crate::fleet::{order, query_value, server_message, server_says, server_spec};
use crate::world::{SYSTEM, Setup, World, conditions, log_in, run, says};

/// Shared by the tests of this file: each has servers of its own.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::new(Setup::default())).await
}

async fn own() -> Postgres {
    Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap()
}

fn message(school: &School, kind: &str) -> String {
    conditions(Some(school)).into_iter().find(|c| c.type_ == kind).unwrap().message
}

/// Since when a School has been ready.
fn ready_since(school: &School) -> String {
    let ready = conditions(Some(school)).into_iter().find(|c| c.type_ == "Ready" && c.status == "True").unwrap();
    format!("{:?}", ready.last_transition_time)
}

#[test]
fn an_odd_right_on_a_maintenance_database_is_revoked_or_named_and_takes_no_school_down() {
    run(async {
        let (world, server) = (world().await, own().await);
        world.add_server("odd-right", &server, &["standard"]).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "plum", json!({"placement": {"serverName": "odd-right"}})).await;
        let before = world.ready(&namespace, "plum").await;
        order(&server, "postgres", "GRANT ALL ON DATABASE postgres TO PUBLIC").await;
        let left = "SELECT count(*) FROM pg_database d, aclexplode(datacl) WHERE datname = 'postgres' AND grantee = 0";
        world.until("every right is revoked", async || query_value::<i64>(&server, "postgres", left).await == 0).await;
        // The operator's admin cannot revoke what another role granted.
        order(&server, "postgres", "CREATE ROLE odd; GRANT ALL ON DATABASE postgres TO odd WITH GRANT OPTION").await;
        order(&server, "postgres", "SET ROLE odd; GRANT ALL ON DATABASE postgres TO PUBLIC").await;
        let named = async || server_message(&world.servers().get("odd-right").await.unwrap(), "Ready").contains("may connect to postgres");
        world.until("the database that stays open is named", named).await;
        world.server_when("odd-right", "Ready", "True", "Ready").await;
        let touch = Patch::Merge(json!({"spec": {"displayName": "Plum Tree"}}));
        world.schools(&namespace).patch("plum", &PatchParams::default(), &touch).await.unwrap();
        let after = world.ready(&namespace, "plum").await;
        assert_eq!(ready_since(&after), ready_since(&before), "it was ready all the time");
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn schools_stay_ready_while_their_servers_admin_lacks_a_right_that_they_do_not_need() {
    run(async {
        let world = world().await;
        let server = Postgres::start(Version::V15, PostgresOptions::default()).await.unwrap();
        let password = server.create_plain_admin("weak_admin").await.unwrap();
        world.admin_secret("weak-admin", "weak_admin", &password).await;
        world.declare_server("weak", server.port(), &["standard"]).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "medlar", json!({"placement": {"serverName": "weak"}})).await;
        let before = world.ready(&namespace, "medlar").await;
        order(&server, "postgres", "ALTER ROLE weak_admin NOCREATEDB").await;
        world.server_when("weak", "Ready", "False", "InsufficientPrivilege").await;
        let touch = Patch::Merge(json!({"spec": {"displayName": "Medlar"}}));
        world.schools(&namespace).patch("medlar", &PatchParams::default(), &touch).await.unwrap();
        let after = world.ready(&namespace, "medlar").await;
        assert_eq!(ready_since(&after), ready_since(&before));
        world.apply_school(&namespace, "sloe", json!({"placement": {"serverName": "weak"}})).await;
        world.school_when(&namespace, "sloe", "ServerAssigned", "False", "ServerNotReady").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_wrong_admin_secret_is_told_to_the_schools_as_what_it_is_and_that_they_are_still_served() {
    run(async {
        let (world, server) = (world().await, own().await);
        world.add_server("mistyped", &server, &["standard"]).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "quince", json!({"placement": {"serverName": "mistyped"}})).await;
        world.ready(&namespace, "quince").await;
        world.admin_secret("mistyped-admin", "postgres", "not-the-password").await;
        let school = world.school_when(&namespace, "quince", "Ready", "False", "AuthenticationFailed").await;
        assert!(message(&school, "Ready").contains("refuses the operator's admin login"), "{}", message(&school, "Ready"));
        assert!(message(&school, "Ready").contains("still served"), "{}", message(&school, "Ready"));
        assert!(says(&school, "Available", "True", "AuthenticationFailed"), "{:#?}", conditions(Some(&school)));
        log_in(&world.secret(&namespace, "quince-db").await.unwrap(), None).await.unwrap();
        let log = world.operator.log();
        let line = log.lines().rfind(|line| line.contains("server state changed") && line.contains("mistyped")).unwrap();
        assert!(line.contains("AuthenticationFailed") && line.contains("correct the admin Secret"), "{line}");
        let secrets = Api::<Secret>::namespaced(world.client.clone(), SYSTEM);
        secrets.delete("mistyped-admin", &kube::api::DeleteParams::default()).await.unwrap();
        let school = world.school_when(&namespace, "quince", "Ready", "False", "AdminSecretInvalid").await;
        assert!(says(&school, "Available", "Unknown", "AdminSecretInvalid"), "{:#?}", conditions(Some(&school)));
        world.admin_secret("mistyped-admin", "postgres", server.superuser_password()).await;
        world.ready(&namespace, "quince").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

/// A server of TLS, the directory with its certificates, and its authority in the Secret `<name>-ca`.
async fn with_tls(world: &World, name: &str) -> (Postgres, tempfile::TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let options = PostgresOptions { tls: true, directory: Some(scratch.path().join(name)), ..PostgresOptions::default() };
    let server = Postgres::start(Version::V15, options).await.unwrap();
    world.admin_secret(&format!("{name}-admin"), "postgres", server.superuser_password()).await;
    (server, scratch)
}

async fn authority(world: &World, name: &str, pem: &str) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("{name}-ca")}, "stringData": {"ca.crt": pem}});
    let api = Api::<Secret>::namespaced(world.client.clone(), SYSTEM);
    api.patch(&format!("{name}-ca"), &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
}

fn openssl(directory: &Path, arguments: &str) {
    let made = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Gives a running server another certificate. Its files keep their owners.
async fn present(server: &Postgres, directory: &Path, made: &Path) {
    for file in ["server.crt", "server.key"] {
        fs::write(directory.join("data").join(file), fs::read(made.join(file)).unwrap()).unwrap();
    }
    // In plain text: the test's own driver refuses such a certificate too.
    let mut conn = PgConnection::connect(&format!("{}?sslmode=disable", server.superuser_url("postgres"))).await.unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut conn).await.unwrap();
}

#[test]
fn certificates_as_the_manual_makes_them_are_refused_with_the_cause_in_words() {
    run(async {
        let world = world().await;
        let (server, scratch) = with_tls(world, "manual").await;
        let made = tempfile::tempdir().unwrap();
        let verifying = |mode: &str| json!({"tls": {"mode": mode, "caSecretRef": {"name": "manual-ca"}}});
        let apply = async |changes| world.apply_server("manual", server_spec("manual", server.port(), &changes)).await;
        let says = async |cause: &str| {
            world
                .until(cause, async || {
                    let object = world.servers().get("manual").await.unwrap();
                    server_says(&object, "Ready", "False", "TlsFailed") && server_message(&object, "Ready").contains(cause)
                })
                .await;
        };
        openssl(
            made.path(),
            "req -new -x509 -nodes -days 365 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout server.key -out server.crt",
        );
        present(&server, &scratch.path().join("manual"), made.path()).await;
        authority(world, "manual", &fs::read_to_string(made.path().join("server.crt")).unwrap()).await;
        for mode in ["verify-full", "verify-ca"] {
            apply(verifying(mode)).await;
            says("the server's certificate is an authority's own").await;
        }
        openssl(made.path(), "req -new -x509 -nodes -days 365 -subj /CN=authority -keyout ca.key -out ca.crt");
        openssl(made.path(), "req -new -nodes -subj /CN=localhost -keyout server.key -out server.csr");
        // What OpenSSL 3.0 makes by itself; later ones need this flag.
        fs::write(made.path().join("ca.srl"), "01\n").unwrap();
        openssl(made.path(), "x509 -req -in server.csr -days 365 -CA ca.crt -CAkey ca.key -CAserial ca.srl -out server.crt");
        let text =
            Command::new("openssl").current_dir(made.path()).args(["x509", "-in", "server.crt", "-noout", "-text"]).output().unwrap();
        if String::from_utf8_lossy(&text.stdout).contains("Version: 1") {
            present(&server, &scratch.path().join("manual"), made.path()).await;
            apply(json!({"tls": {"mode": "require"}})).await;
            says("the server's certificate is of X.509 version 1").await;
        }
        // As the runbook makes it.
        fs::write(made.path().join("server.cnf"), "basicConstraints = CA:FALSE\nsubjectAltName = DNS:localhost, IP:127.0.0.1\n").unwrap();
        openssl(
            made.path(),
            "x509 -req -in server.csr -days 365 -CA ca.crt -CAkey ca.key -CAserial ca.srl -extfile server.cnf -out server.crt",
        );
        authority(world, "manual", &fs::read_to_string(made.path().join("ca.crt")).unwrap()).await;
        present(&server, &scratch.path().join("manual"), made.path()).await;
        apply(verifying("verify-full")).await;
        world.server_when("manual", "Ready", "True", "Ready").await;
        apply(json!({"tls": {"mode": "verify-full", "caSecretRef": {"name": "manual-ca"}}, "host": "127.0.0.1"})).await;
    });
}

#[test]
fn a_server_without_tls_and_a_certificate_for_another_name_are_told_in_words() {
    run(async {
        let world = world().await;
        let plain = own().await;
        world.admin_secret("no-tls-admin", "postgres", plain.superuser_password()).await;
        world.apply_server("no-tls", server_spec("no-tls", plain.port(), &json!({"tls": {"mode": "require"}}))).await;
        let object = world.server_when("no-tls", "Ready", "False", "TlsFailed").await;
        assert!(server_message(&object, "Ready").starts_with("the server offers no TLS"), "{object:#?}");
        let (server, _scratch) = with_tls(world, "renamed").await;
        let made = tempfile::tempdir().unwrap();
        openssl(made.path(), "req -new -x509 -nodes -days 365 -subj /CN=stranger -keyout ca.key -out ca.crt");
        authority(world, "renamed", &fs::read_to_string(made.path().join("ca.crt")).unwrap()).await;
        let verifying = json!({"tls": {"mode": "verify-full", "caSecretRef": {"name": "renamed-ca"}}});
        world.apply_server("renamed", server_spec("renamed", server.port(), &verifying)).await;
        let object = world.server_when("renamed", "Ready", "False", "TlsFailed").await;
        assert!(server_message(&object, "Ready").contains("signed by an authority that the CA Secret does not hold"), "{object:#?}");
    });
}

/// What stands between the operator and a server.
#[derive(Clone, Copy)]
enum Pooler {
    /// Refuses the startup packet's options, as `PgBouncer` does by default.
    Refusing,
    /// Leaves them out, as `PgBouncer` does when it is told to ignore them.
    Forgetful,
}

/// Listens in front of a server, for as long as the process lives.
async fn pooler(server: &Postgres, kind: Pooler) -> u16 {
    let (listener, port) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.port());
    let address = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, port, kind));
        }
    });
    address
}

async fn pass(mut client: TcpStream, port: u16, kind: Pooler) -> std::io::Result<()> {
    let length = client.read_u32().await?;
    let mut packet = vec![0; usize::try_from(length).unwrap_or_default().saturating_sub(4)];
    client.read_exact(&mut packet).await?;
    let (version, parts) = packet.split_at(4);
    let mut parts: Vec<_> = parts.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    if matches!(kind, Pooler::Refusing) {
        let fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
        client.write_u8(b'E').await?;
        client.write_u32(u32::try_from(fields.len() + 4).unwrap_or_default()).await?;
        return client.write_all(fields).await;
    }
    if let Some(at) = parts.iter().position(|part| part == b"options") {
        parts.drain(at..at + 2);
    }
    let rest = parts.join(&0);
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    server.write_u32(u32::try_from(rest.len() + 8).unwrap_or_default()).await?;
    server.write_all(version).await?;
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[test]
fn a_connection_pooler_is_recognised_named_and_refused() {
    run(async {
        let (world, server) = (world().await, own().await);
        world.admin_secret("pooled-admin", "postgres", server.superuser_password()).await;
        for kind in [Pooler::Refusing, Pooler::Forgetful] {
            let port = pooler(&server, kind).await;
            world.apply_server("pooled", server_spec("pooled", port, &json!({}))).await;
            let object = world.server_when("pooled", "Ready", "False", "PoolerInBetween").await;
            assert!(server_message(&object, "Ready").contains("give the PostgreSQL server's own address"), "{object:#?}");
        }
        let made = "SELECT count(*) FROM pg_roles WHERE rolname = 'tenant_owner'";
        assert_eq!(query_value::<i64>(&server, "postgres", made).await, 0, "nothing is done through it");
        world.apply_server("pooled", server_spec("pooled", server.port(), &json!({}))).await;
        world.server_when("pooled", "Ready", "True", "Ready").await;
    });
}
