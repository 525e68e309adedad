//! Servers that refuse SCRAM verifiers, and plain passwords for them.

use domain::retry::Class;
use domain::server::PasswordForm;
use postgres::session::{Credentials, Endpoint, Purpose, Tls, options};
use provisioning::scram;
use provisioning::server::claim::Claimed;
use provisioning::server::password::SentPassword;
use provisioning::server::prepare::{self, prepare_roles};
use provisioning::server::{Error, MIGRATOR, access};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgPoolOptions, PgSslMode};
use tempfile::TempDir;
use testing::{PostgresOptions, Refusal, TlsFront, Version};

use crate::fixtures::{Admin, FINGERPRINT, MIGRATOR_PASSWORD, School, Server, desired, loud};

/// A server that refuses verifiers, behind TLS, as Neon's are. The directory holds what refuses them.
async fn refusing(refusal: Refusal, kind: Admin) -> (Server, TlsFront, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = loud().refusing_verifiers(refusal, directory.path()).await.unwrap();
    let server = Server::bare_with(Version::V18, options, kind).await;
    let front = TlsFront::start(server.postgres.port()).await.unwrap();
    (server.behind(front.port()), front, directory)
}

/// Each way in which servers refuse, for each kind of admin.
async fn on_every_refusing_server(test: impl AsyncFn(Server, Refusal)) {
    for refusal in [Refusal::InStatement, Refusal::AtCommit] {
        for kind in [Admin::Superuser, Admin::Plain] {
            let (server, _front, _module) = refusing(refusal, kind).await;
            Box::pin(test(server, refusal)).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_refuses_verifiers_is_recognised_and_nothing_is_left_of_the_attempt() {
    on_every_refusing_server(async |server, refusal| {
        let (before, password) = (server.catalogs().await, MIGRATOR_PASSWORD.into());
        let error = prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await.unwrap_err();
        let code = if refusal == Refusal::InStatement { "28000" } else { "XX000" };
        let expected = matches!(&error, Error::PasswordRefused { role, sqlstate, form: PasswordForm::Verifier } if role == MIGRATOR && sqlstate == code);
        assert!(expected && error.class() == Class::Denied, "{error:?}");
        assert_eq!(error.to_string(), format!("the server refuses the SCRAM verifier of role dailycare_migrator (SQLSTATE {code})"));
        assert_eq!(server.catalogs().await, before);
    })
    .await;
}

#[tokio::test]
async fn with_plain_passwords_a_server_that_refuses_verifiers_holds_schools_whose_logins_work() {
    on_every_refusing_server(async |server, _| {
        let password = MIGRATOR_PASSWORD.into();
        prepare_roles(&server.pool, &desired(&password), PasswordForm::Plain).await.unwrap();
        assert!(prepare::observe(&mut server.pool.acquire().await.unwrap(), &desired(&password)).await.unwrap().roles);
        server.as_superuser("GRANT CONNECT ON DATABASE postgres TO PUBLIC").await;
        server.build(&server.migrations).await.unwrap();
        server.stage().await;
        let school = School::named("plain");
        let sent = |password: &SecretString, form| SentPassword::new(password, form);
        let refused = server.try_claim(&school, &sent(&school.password, PasswordForm::Verifier)).await;
        assert!(matches!(refused, Err(Error::PasswordRefused { .. })), "{refused:?}");
        assert_eq!(server.try_claim(&school, &sent(&school.password, PasswordForm::Plain)).await.unwrap(), Claimed::Now);
        server.log_in(&school, school.database()).await.unwrap();
        server.log_in_as_migrator(school.database()).await.unwrap();
        let changed = "canary-changed-password".into();
        let change = async |form| access::set_password(&server.pool, &school.objects, school.uid, &sent(&changed, form), FINGERPRINT).await;
        let refused = change(PasswordForm::Verifier).await;
        assert!(matches!(refused, Err(Error::PasswordRefused { .. })), "{refused:?}");
        server.log_in(&school, school.database()).await.unwrap();
        change(PasswordForm::Plain).await.unwrap();
        assert!(server.log_in(&school, school.database()).await.is_err());
        let stored: String = server.query(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", school.login())).await;
        assert_eq!(scram::is_of(&stored, &changed), Some(true), "what is stored is a verifier as we make them");
    })
    .await;
}

/// Sends plain passwords in each of the three ways.
async fn send_plain(server: &Server, school: &School) {
    let password = MIGRATOR_PASSWORD.into();
    prepare_roles(&server.pool, &desired(&password), PasswordForm::Plain).await.unwrap();
    server.as_superuser("GRANT CONNECT ON DATABASE postgres TO PUBLIC").await;
    server.build(&server.migrations).await.unwrap();
    server.stage().await;
    let sent = SentPassword::new(&school.password, PasswordForm::Plain);
    assert_eq!(server.try_claim(school, &sent).await.unwrap(), Claimed::Now);
    access::set_password(&server.pool, &school.objects, school.uid, &sent, FINGERPRINT).await.unwrap();
}

#[tokio::test]
async fn a_plain_password_is_in_no_log_and_no_list_of_sessions_where_the_admin_may_say_so() {
    let settings = "log_statement, log_min_error_statement, log_min_duration_statement, track_activities";
    for kind in [Admin::Superuser, Admin::Plain] {
        // What the admin sends outranks what the server is set to.
        let options = PostgresOptions { tls: true, ..loud() }.with("log_min_duration_statement", "0").with("password_encryption", "md5");
        let server = Server::bare_with(Version::V15, options, kind).await;
        if kind == Admin::Plain {
            server.as_superuser(&format!("GRANT SET ON PARAMETER {settings} TO dailycare_admin")).await;
        }
        let school = School::named("quiet");
        send_plain(&server, &school).await;
        let repeated = server.try_claim(&school, &SentPassword::new(&school.password, PasswordForm::Plain)).await.unwrap();
        assert_eq!(repeated, Claimed::AlreadyThere);
        server.as_superuser("ALTER ROLE tenant_app RENAME TO elsewhere").await;
        server.stage().await;
        let another = School::named("failing");
        server.try_claim(&another, &SentPassword::new(&another.password, PasswordForm::Plain)).await.unwrap_err();
        let log = server.log();
        assert!(log.contains("ALTER DATABASE") && log.contains("duration"), "the log is not worth searching");
        for password in [MIGRATOR_PASSWORD, school.password.expose_secret(), another.password.expose_secret()] {
            assert!(!log.contains(password), "{kind:?}");
        }
        let listed: i64 =
            server.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%canary-%' AND pid <> pg_backend_pid()").await;
        assert_eq!(listed, 0);
        let stored: String = server.query(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", school.login())).await;
        assert_eq!(scram::is_of(&stored, &school.password), Some(true), "{kind:?}: never the server's md5");
        // The settings end with the transaction.
        let after: Option<String> = sqlx::query_scalar("SHOW track_activities").fetch_one(&server.pool).await.unwrap();
        assert_eq!(after.as_deref(), Some("on"));
    }
}

#[tokio::test]
async fn a_plain_password_is_never_sent_over_a_session_that_is_not_encrypted() {
    let server = Server::bare_with(Version::V15, PostgresOptions { tls: true, ..loud() }, Admin::Superuser).await;
    let password = MIGRATOR_PASSWORD.into();
    let endpoint = Endpoint { tls: Tls::Disable, ..server.endpoint.clone() };
    let admin = Credentials { username: "postgres".into(), password: server.postgres.superuser_password().to_owned().into() };
    let open = options(&endpoint, &admin, "postgres", Purpose::Operator);
    for mode in [PgSslMode::Disable, PgSslMode::Allow, PgSslMode::Prefer] {
        let pool = PgPoolOptions::new().connect_lazy_with(open.clone().ssl_mode(mode));
        let refused = prepare_roles(&pool, &desired(&password), PasswordForm::Plain).await;
        assert!(matches!(refused, Err(Error::Unencrypted)), "{mode:?}: {refused:?}");
    }
    assert!(!server.log().contains(MIGRATOR_PASSWORD));
    prepare_roles(&server.pool, &desired(&password), PasswordForm::Plain).await.unwrap();
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let encrypted: bool = sqlx::query_scalar(query).fetch_one(&server.pool).await.unwrap();
    assert!(encrypted);
}
