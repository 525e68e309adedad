//! What schools and the API get of a server's CA Secret: its certificates, and nothing that a person put beside them.

use std::fs;

use serde_json::{Value, json};
use testing::{Postgres, PostgresOptions, Version};

use crate::fleet::{server_message, server_spec};
use crate::sources::{names, whole};
use crate::world::{SYSTEM, Setup, World, log_in, run};

async fn ca_secret(world: &World, text: &str) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "combined-ca", "namespace": SYSTEM}, "stringData": {"ca.crt": text}});
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret.json");
    fs::write(&file, secret.to_string()).unwrap();
    world.kubectl(&["apply", "-f", file.to_str().unwrap()]).await;
}

#[test]
fn a_private_key_beside_the_authoritys_certificate_reaches_no_school_and_no_row() {
    run(async {
        let world = World::new(Setup::default()).await;
        let server = Postgres::start(Version::V15, PostgresOptions { tls: true, ..PostgresOptions::default() }).await.unwrap();
        let path = server.ca_path().unwrap();
        let (authority, key) = (fs::read_to_string(path).unwrap(), fs::read_to_string(path.with_file_name("ca.key")).unwrap());
        let canary = key.lines().find(|line| !line.starts_with('-')).unwrap();
        ca_secret(&world, &format!("# of our own\n{key}{authority}{key}")).await;
        world.admin_secret("combined-admin", "postgres", server.superuser_password()).await;
        let verifying = json!({"tls": {"mode": "verify-full", "caSecretRef": {"name": "combined-ca"}}});
        world.apply_server("combined", server_spec("combined", server.port(), &verifying)).await;
        world.server_when("combined", "Ready", "True", "Ready").await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "combined-school", json!({"placement": {"serverName": "combined"}})).await;
        let school = world.ready(&namespace, "combined-school").await;
        let secret = world.secret(&namespace, "combined-school-db").await.unwrap();
        assert_eq!(secret["certificates"], authority);
        log_in(&secret, None).await.unwrap();
        let row = world.tenant_row(&names(&school)).await;
        let object = whole(&world.servers().get("combined").await.unwrap());
        for (place, text) in [("the School", whole(&school).to_string()), ("its row", row.to_string()), ("the server", object.to_string())]
        {
            assert!(!text.contains(canary), "the key is in {place}");
        }
        assert!(secret.values().all(|value| !value.contains(canary) && !value.contains("PRIVATE KEY")));

        // A file that has no certificate is told by its key, and changes nothing for who is served.
        ca_secret(&world, &key).await;
        let object = world.server_when("combined", "Ready", "False", "AdminSecretInvalid").await;
        let message = server_message(&object, "Ready");
        assert_eq!(
            message,
            "the key ca.crt of Secret combined-ca in namespace dailycare-system holds no certificate (a block BEGIN CERTIFICATE)"
        );
        assert_eq!(world.secret(&namespace, "combined-school-db").await.unwrap(), secret);
        assert_ne!(world.tenant_row(&names(&school)).await["state"], Value::Null);
        world.assert_statuses_are_true(&namespace).await;
    });
}
