//! Preparing a server.

use domain::retry::Class;
use domain::server::PasswordForm;
use domain::server::identity::ServerIdentity;
use postgres::schema::Applied;
use postgres::session::Credentials;
use provisioning::server::identity::{OLDEST_VERSION, identify};
use provisioning::server::prepare::{self, Closing, DesiredRoles, close_maintenance_databases, prepare_roles};
use provisioning::server::{Error, MIGRATOR, migrate};
use testing::Version;

use crate::fixtures::{ANOTHER_CLUSTER, Admin, MIGRATOR_PASSWORD, desired, on_every_bare_server, on_every_server};

#[tokio::test]
async fn a_server_says_who_it_is_and_what_we_may_do() {
    on_every_bare_server(async |server| {
        let identity = identify(&mut server.pool.acquire().await.unwrap()).await.unwrap();
        assert_eq!(identity.version_num / 10_000, if server.version == Version::V15 { 15 } else { 18 });
        assert!(identity.version_num >= OLDEST_VERSION && identity.version.contains('.'));
        let system = server.query::<String>("SELECT system_identifier::text FROM pg_control_system()").await;
        assert_eq!(identity.of_server, ServerIdentity { system: Some(system), marker: None });
        assert_eq!(identity.rights.superuser, server.kind == Admin::Superuser);
        assert!(identity.rights.suffice() && !identity.read_only);
        assert_eq!(identity.max_connections, 97);
    })
    .await;
}

#[tokio::test]
async fn preparing_twice_writes_once() {
    on_every_bare_server(async |server| {
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = server.pool.acquire().await.unwrap();
        assert!(!prepare::observe(&mut conn, &desired(&password)).await.unwrap().roles);
        prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await.unwrap();
        close_maintenance_databases(&mut conn).await.unwrap();
        assert!(prepare::observe(&mut conn, &desired(&password)).await.unwrap().roles);
        let before = server.catalogs().await;
        prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await.unwrap();
        close_maintenance_databases(&mut conn).await.unwrap();
        assert_eq!(server.catalogs().await, before);
        assert!(!server.log().contains(MIGRATOR_PASSWORD));
    })
    .await;
}

#[tokio::test]
async fn maintenance_databases_are_closed_where_the_admin_may_and_otherwise_named() {
    on_every_bare_server(async |server| {
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = server.pool.acquire().await.unwrap();
        prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await.unwrap();
        let expected: &[&str] = if server.kind == Admin::Superuser { &[] } else { &["postgres", "template1"] };
        assert_eq!(close_maintenance_databases(&mut conn).await.unwrap().open, expected);
        assert_eq!(prepare::observe(&mut conn, &desired(&password)).await.unwrap().open_databases, expected);
        server.as_superuser("CREATE DATABASE somebody_elses").await;
        let before = server.catalogs().await;
        assert!(close_maintenance_databases(&mut conn).await.unwrap().open.contains(&"somebody_elses".to_owned()));
        assert_eq!(server.catalogs().await, before);
    })
    .await;
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn whatever_public_was_granted_on_a_maintenance_database_is_revoked_or_named_and_closing_ends() {
    on_every_bare_server(async |server| {
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = server.pool.acquire().await.unwrap();
        prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await.unwrap();
        close_maintenance_databases(&mut conn).await.unwrap();
        server.as_superuser("GRANT ALL ON DATABASE postgres TO PUBLIC").await;
        server.as_superuser("CREATE ROLE odd; GRANT ALL ON DATABASE template1 TO odd WITH GRANT OPTION").await;
        // Only whoever granted this may revoke it.
        server.as_superuser("SET ROLE odd; GRANT CREATE, CONNECT ON DATABASE template1 TO PUBLIC; RESET ROLE").await;
        let superuser = server.kind == Admin::Superuser;
        assert_eq!(prepare::observe(&mut conn, &desired(&password)).await.unwrap().closable, superuser);
        let left: &[&str] = if superuser { &["template1"] } else { &["postgres", "template1"] };
        let closed: &[&str] = if superuser { &["postgres"] } else { &[] };
        assert_eq!(close_maintenance_databases(&mut conn).await.unwrap(), Closing { closed: owned(closed), open: owned(left) });
        let observed = prepare::observe(&mut conn, &desired(&password)).await.unwrap();
        assert!(!observed.closable, "what is counted is what can be revoked");
        assert_eq!(observed.open_databases, left);
    })
    .await;
}

#[tokio::test]
async fn the_server_ends_a_session_of_the_operator_whose_client_is_silent() {
    on_every_bare_server(async |server| {
        for (setting, value) in [
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "25000"),
            ("idle_session_timeout", "3min"),
        ] {
            let query = format!("SELECT current_setting('{setting}')");
            let found: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&server.pool).await.unwrap();
            assert_eq!(found, value, "{setting}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_fixed_role_that_somebody_changed_is_set_right() {
    on_every_server(async |server| {
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = server.pool.acquire().await.unwrap();
        for drift in [
            "ALTER ROLE tenant_owner LOGIN",
            "ALTER ROLE tenant_app CREATEDB",
            "ALTER ROLE dailycare_migrator RESET role",
            "ALTER ROLE dailycare_migrator SET search_path = public",
            "ALTER ROLE dailycare_migrator NOLOGIN",
            "GRANT tenant_app TO dailycare_migrator",
            "REVOKE tenant_owner FROM dailycare_migrator",
            "REVOKE tenant_owner FROM CURRENT_USER",
        ] {
            // A superuser needs no membership.
            if drift.ends_with("CURRENT_USER") && server.kind == Admin::Superuser {
                continue;
            }
            server.as_admin(drift).await;
            assert!(!prepare::observe(&mut conn, &desired(&password)).await.unwrap().roles, "{drift}");
            prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier)
                .await
                .unwrap_or_else(|error| panic!("{drift}: {error:?}"));
            assert!(prepare::observe(&mut conn, &desired(&password)).await.unwrap().roles, "{drift}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_migrators_password_follows_its_fingerprint() {
    on_every_server(async |server| {
        let school = server.school("renewed").await;
        let password = "canary-renewed-migrator".into();
        let desired_roles = DesiredRoles { fingerprint: "other", ..desired(&password) };
        let mut conn = server.pool.acquire().await.unwrap();
        assert!(!prepare::observe(&mut conn, &desired_roles).await.unwrap().roles);
        prepare_roles(&server.pool, &desired_roles, PasswordForm::Verifier).await.unwrap();
        assert!(prepare::observe(&mut conn, &desired_roles).await.unwrap().roles);
        let migrate = async |password: &str| {
            let migrator = Credentials { username: MIGRATOR.into(), password: password.into() };
            let migration = server.migrations.all().last().unwrap();
            migrate::migrate(&server.endpoint, &migrator, &school.objects, &server.migrations, migration).await
        };
        assert_eq!(migrate(MIGRATOR_PASSWORD).await.unwrap_err().class(), Class::Denied);
        assert_eq!(migrate("canary-renewed-migrator").await.unwrap(), Applied::Already);
        assert!(!server.log().contains("canary-renewed-migrator"));
    })
    .await;
}

#[tokio::test]
async fn a_role_of_a_fixed_name_that_is_not_ours_is_left_alone() {
    on_every_bare_server(async |server| {
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = server.pool.acquire().await.unwrap();
        server.as_superuser("CREATE ROLE dailycare_migrator LOGIN PASSWORD 'theirs'").await;
        let before = server.catalogs().await;
        let refused = prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await;
        assert!(matches!(refused, Err(Error::NotOurs { ref name, .. }) if name == MIGRATOR), "{refused:?}");
        assert!(matches!(prepare::observe(&mut conn, &desired(&password)).await, Err(Error::NotOurs { .. })));
        assert_eq!(server.catalogs().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_another_cluster_prepared_is_left_alone() {
    on_every_server(async |server| {
        let password = MIGRATOR_PASSWORD.into();
        let before = server.catalogs().await;
        let refused =
            prepare_roles(&server.pool, &DesiredRoles { cluster: ANOTHER_CLUSTER, ..desired(&password) }, PasswordForm::Verifier).await;
        assert!(matches!(refused, Err(Error::NotOurs { .. })), "{refused:?}");
        assert_eq!(server.catalogs().await, before);
    })
    .await;
}
