//! A server that is verified with a cloud provider's list of authorities.

use std::process::Command;
use std::sync::Arc;

use domain::names::{DatabaseName, LoginName, ServerName};
use postgres::session::{Endpoint, Tls};
use registry::route::{PoolSettings, Route};
use tenancy::pools::{Error, Pools, Target};
use testing::{Postgres, PostgresOptions, Version};

use super::fleet::{database, id, limits};

/// As many as are in the list of Amazon RDS.
const AUTHORITIES: usize = 108;

/// Certificates of authorities that are nobody's, in PEM.
fn strangers(number: usize) -> String {
    let files = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(files.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["genrsa", "-out", "key.pem", "2048"]);
    let one = |n| run(&["req", "-x509", "-new", "-key", "key.pem", "-days", "3650", "-subj", &format!("/O=Stranger/CN=Authority {n}")]);
    (0..number).map(one).collect()
}

#[tokio::test]
async fn a_server_is_verified_with_a_list_of_108_authorities_and_refused_with_a_list_without_its_own() {
    let server = Postgres::start(Version::V15, PostgresOptions { tls: true, ..PostgresOptions::default() }).await.unwrap();
    let (own, strangers) = (std::fs::read_to_string(server.ca_path().unwrap()).unwrap(), strangers(AUTHORITIES - 1));
    let target = |tenant, authorities: String| {
        let route = Route {
            server: ServerName::parse("pg-1").unwrap(),
            endpoint: Endpoint {
                host: server.host().to_owned(),
                port: server.port(),
                tls: Tls::VerifyFull(authorities.into_bytes().into()),
            },
            database: DatabaseName::parse("postgres").unwrap(),
            login: LoginName::parse("postgres").unwrap(),
            pool: PoolSettings { size: 2, connect_timeout_seconds: 30, command_timeout_seconds: 60, pooling: true },
        };
        Arc::new(Target::new(id(tenant), 1, &route, server.superuser_password().into()))
    };
    let pools = Pools::new(limits());
    let mut conn = pools.connection(&target(1, format!("{strangers}{own}"))).await.unwrap();
    assert_eq!(database(&mut conn).await, "postgres");
    let refused = pools.connection(&target(2, strangers)).await;
    assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
}
