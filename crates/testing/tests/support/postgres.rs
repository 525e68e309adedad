//! A private server behaves as a real one in every state that tests put it in.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use testing::{Lifetime, Postgres, PostgresOptions, Version, until};

use crate::runs;

async fn connect(server: &Postgres) -> PgConnection {
    PgConnection::connect(&server.superuser_url("postgres")).await.unwrap()
}

#[tokio::test]
async fn each_version_keeps_committed_data_over_a_kill_and_a_start() {
    for (version, major) in [(Version::V15, 15), (Version::V18, 18)] {
        let mut server = Postgres::start(version, PostgresOptions::default()).await.unwrap();
        let mut connection = connect(&server).await;
        let number: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&mut connection).await.unwrap();
        assert_eq!(number / 10_000, major);
        sqlx::raw_sql("CREATE TABLE drawer (item text); INSERT INTO drawer VALUES ('sock')").execute(&mut connection).await.unwrap();
        let (port, pid) = (server.port(), server.pid());
        server.kill9().await.unwrap();
        assert!(!runs(pid));
        assert!(PgConnection::connect(&server.superuser_url("postgres")).await.is_err());
        server.start_again().await.unwrap();
        assert_eq!(server.port(), port);
        let items: Vec<String> = sqlx::query_scalar("SELECT item FROM drawer").fetch_all(&mut connect(&server).await).await.unwrap();
        assert_eq!(items, ["sock"]);
        let log = fs::read_to_string(server.log_path()).unwrap();
        assert!(log.contains("was not properly shut down"), "{log}");
    }
}

#[tokio::test]
async fn what_a_recipe_prepares_is_prepared_once_and_stands_on_every_server_that_asks_for_it() {
    let recipe = format!("drawer-{}", uuid::Uuid::new_v4());
    let followed = AtomicU32::new(0);
    let start = async || {
        let prepare = async |server: Postgres| {
            followed.fetch_add(1, Ordering::Relaxed);
            sqlx::raw_sql("CREATE TABLE drawer (item text)").execute(&mut connect(&server).await).await.unwrap();
            Ok((server, "the key lies beside it".to_owned()))
        };
        Postgres::start_prepared(Version::V18, PostgresOptions::default(), &recipe, prepare).await.unwrap()
    };
    let (first, second) = tokio::join!(start(), start());
    for (server, notes) in [&first, &second] {
        sqlx::raw_sql("INSERT INTO drawer VALUES ('sock')").execute(&mut connect(server).await).await.unwrap();
        let items: i64 = sqlx::query_scalar("SELECT count(*) FROM drawer").fetch_one(&mut connect(server).await).await.unwrap();
        assert_eq!((items, notes.as_str()), (1, "the key lies beside it"));
    }
    assert_eq!(followed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_plain_admin_may_create_databases_and_roles_and_no_more() {
    let server = Postgres::start(Version::V18, PostgresOptions::default().with("log_statement", "all")).await.unwrap();
    let password = server.create_plain_admin("caretaker").await.unwrap();
    let options = PgConnectOptions::new_without_pgpass().host(server.host()).port(server.port()).database("postgres");
    let mut admin = PgConnection::connect_with(&options.clone().username("caretaker").password(&password)).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE attic").execute(&mut admin).await.unwrap();
    sqlx::raw_sql("CREATE ROLE lodger").execute(&mut admin).await.unwrap();
    assert!(sqlx::raw_sql("ALTER ROLE lodger SUPERUSER").execute(&mut admin).await.is_err());
    assert!(PgConnection::connect_with(&options.username("caretaker").password("guess")).await.is_err());
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert!(log.contains("CREATE ROLE lodger") && !log.contains(&password));
}

#[tokio::test]
async fn a_server_with_tls_proves_its_name_to_who_trusts_its_authority() {
    let server = Postgres::start(Version::V15, PostgresOptions { tls: true, ..PostgresOptions::default() }).await.unwrap();
    let options: PgConnectOptions = server.superuser_url("postgres").parse().unwrap();
    let strict = options.ssl_mode(PgSslMode::VerifyFull);
    let mut trusting = PgConnection::connect_with(&strict.clone().ssl_root_cert(server.ca_path().unwrap())).await.unwrap();
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&mut trusting).await.unwrap());
    assert!(PgConnection::connect_with(&strict).await.is_err());
}

#[tokio::test]
async fn a_paused_server_is_silent_and_answers_when_it_is_resumed_and_can_be_stopped() {
    let mut server = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
    let mut connection = connect(&server).await;
    server.pause().unwrap();
    let mut answer = std::pin::pin!(connection.ping());
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut answer).await.is_err());
    server.resume().unwrap();
    answer.await.unwrap();
    server.pause().unwrap();
    server.stop().await.unwrap();
    assert!(!runs(server.pid()));
}

#[tokio::test]
async fn a_detached_server_is_found_again_and_stopped_by_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        || PostgresOptions { lifetime: Lifetime::Detached, directory: Some(directory.path().join("server")), ..PostgresOptions::default() };
    let pid = Postgres::start(Version::V18, options()).await.unwrap().pid();
    assert_eq!(Postgres::start(Version::V18, options()).await.unwrap().pid(), pid);
    assert!(Postgres::stop_detached(Version::V18, &directory.path().join("server")).await.unwrap());
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_recorded_process_id_that_another_process_has_now_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let mut bystander = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    // The record of a server that had this process id before: it was started at another time.
    fs::write(directory.path().join("pid"), format!("{} 1\n", bystander.id().unwrap())).unwrap();
    assert!(!Postgres::stop_detached(Version::V18, directory.path()).await.unwrap());
    assert!(bystander.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let options = PostgresOptions::default().with("shared_buffers", "nonsense");
    let error = Postgres::start(Version::V18, options).await.map(drop).unwrap_err();
    assert!(error.to_string().contains(r#"invalid value for parameter "shared_buffers""#), "{error}");
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_files() {
    let server = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
    let (pid, log) = (server.pid(), server.log_path().to_owned());
    drop(server);
    until("the server is gone", async || !runs(pid)).await;
    assert!(!log.exists());
}
