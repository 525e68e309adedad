//! Bringing the master database into being, from every state and by several operators at once.

use domain::retry::Class;
use postgres::schema::Migrations;
use postgres::url::Target;
use provisioning::master::Error;
use provisioning::master::tenants::{Occupancy, occupancy};
use sqlx::postgres::PgPool;
use testing::{PostgresOptions, Version};

use crate::fixtures::{Admin, CLUSTER, DATABASE, EVERYWHERE, Master, execute, refusal};

/// The server's next transaction id: whoever writes anything takes one.
async fn next_transaction(master: &Master) -> String {
    let mut conn = master.superuser("postgres").await;
    sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetch_one(&mut conn).await.unwrap()
}

async fn applied(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM registry.schema_migrations").fetch_one(pool).await.unwrap()
}

async fn assert_whole(master: &Master, pool: &PgPool) {
    let target = i64::from(Migrations::master().unwrap().target());
    assert_eq!(applied(pool).await, target);
    let mut conn = master.superuser(DATABASE).await;
    let owner: String = sqlx::query_scalar("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(owner, "dailycare_operator");
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(pool).await.unwrap();
    assert_eq!(user, "dailycare_operator", "the pool's sessions have more rights than they need");
    let strange = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'registry' AND pg_get_userbyid(c.relowner) <> 'dailycare_operator'";
    assert_eq!(sqlx::query_scalar::<_, i64>(strange).fetch_one(&mut conn).await.unwrap(), 0);
}

#[tokio::test]
async fn a_bare_server_gets_its_master_database_and_a_second_start_writes_nothing() {
    for (version, admin) in EVERYWHERE {
        let options = PostgresOptions::default().with("autovacuum", "off");
        let master = Master::start_with(version, admin, options).await;
        let bare = next_transaction(&master).await;
        assert_whole(&master, &master.bootstrap().await).await;
        let before = next_transaction(&master).await;
        assert_ne!(bare, before);
        assert_whole(&master, &master.bootstrap().await).await;
        assert_eq!(next_transaction(&master).await, before, "{version:?} {admin:?}");
    }
}

#[tokio::test]
async fn operators_that_start_at_once_all_succeed_and_make_everything_once() {
    for (version, admin) in EVERYWHERE {
        let master = Master::start(version, admin).await;
        let pools = futures::future::join_all((0..5).map(|_| master.bootstrap())).await;
        assert_whole(&master, &pools[0]).await;
        for made in ["CREATE DATABASE", "CREATE ROLE \"dailycare_operator\"", "CREATE TABLE registry.users"] {
            assert_eq!(master.log().matches(made).count(), 1, "{version:?} {admin:?}: {made}");
        }
    }
}

#[tokio::test]
async fn what_an_interrupted_start_or_a_person_left_is_completed() {
    let leftovers: [&[&'static str]; 4] = [
        &["CREATE ROLE dailycare_operator NOLOGIN"],
        &["CREATE ROLE dailycare_operator NOLOGIN", "CREATE ROLE dailycare_api NOLOGIN"],
        &["CREATE DATABASE dailycare_master TEMPLATE template0"],
        &[
            "CREATE ROLE dailycare_api NOLOGIN",
            "CREATE DATABASE dailycare_master",
            "REVOKE CONNECT ON DATABASE dailycare_master FROM PUBLIC",
        ],
    ];
    for (version, admin) in EVERYWHERE {
        let master = Master::start(version, admin).await;
        for left in leftovers {
            let mut conn = master.login(&master.admin, &master.password, "postgres").await.unwrap();
            for statement in left {
                execute(&mut conn, statement).await;
            }
            drop(conn);
            assert_whole(&master, &master.bootstrap().await).await;
            let mut superuser = master.superuser("postgres").await;
            for statement in ["DROP DATABASE dailycare_master WITH (FORCE)", "DROP ROLE dailycare_operator", "DROP ROLE dailycare_api"] {
                execute(&mut superuser, statement).await;
            }
        }
    }
}

#[tokio::test]
async fn only_the_operator_and_the_api_may_connect() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        master.bootstrap().await;
        let mut conn = master.superuser("postgres").await;
        execute(&mut conn, "CREATE ROLE stranger LOGIN PASSWORD 'x'; CREATE ROLE api LOGIN PASSWORD 'x' IN ROLE dailycare_api").await;
        let refused = master.login("stranger", "x", DATABASE).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501");
        let mut api = master.login("api", "x", DATABASE).await.unwrap();
        assert_eq!(refusal(&mut api, "CREATE TEMPORARY TABLE t ()").await.as_deref(), Some("42501"));
    }
}

#[tokio::test]
async fn an_admin_that_may_not_create_roles_is_told_what_failed() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        execute(&mut master.superuser("postgres").await, "ALTER ROLE plain NOCREATEROLE").await;
        let error = provisioning::master::bootstrap(&master.target(), &Migrations::master().unwrap()).await.unwrap_err();
        assert_eq!(error.class(), Class::Denied);
        assert_eq!(error.to_string(), "creating the role dailycare_operator failed (SQLSTATE 42501)");
    }
}

#[tokio::test]
async fn a_database_of_somebody_else_is_not_taken() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        execute(&mut master.superuser("postgres").await, "CREATE DATABASE dailycare_master").await;
        let error = provisioning::master::bootstrap(&master.target(), &Migrations::master().unwrap()).await.unwrap_err();
        assert_eq!(error.class(), Class::Denied, "{error}");
        let mut conn = master.superuser(DATABASE).await;
        assert_eq!(refusal(&mut conn, "SELECT FROM registry.tenants").await.as_deref(), Some("42P01"));
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_transient_and_its_error_shows_no_password() {
    let mut master = Master::start(Version::V18, Admin::Superuser).await;
    master.server.stop().await.unwrap();
    let error = provisioning::master::bootstrap(&master.target(), &Migrations::master().unwrap()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(!format!("{error:?}").contains(&master.password));
}

#[tokio::test]
async fn a_server_is_verified_by_its_authority() {
    let options = PostgresOptions { tls: true, ..PostgresOptions::default() };
    let master = Master::start_with(Version::V15, Admin::Plain, options).await;
    let authority = master.server.ca_path().unwrap().display().to_string();
    let url = format!("{}?sslmode=verify-full&sslrootcert={authority}", master.address(DATABASE));
    let pool = provisioning::master::bootstrap(&Target::parse(&url.into()).unwrap(), &Migrations::master().unwrap()).await.unwrap();
    let sessions = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'plain'";
    let _held = pool.acquire().await.unwrap();
    let encrypted: bool = sqlx::query_scalar(sessions).fetch_one(&mut master.superuser("postgres").await).await.unwrap();
    assert!(encrypted);
}

#[tokio::test]
async fn a_master_database_of_a_newer_program_is_left_alone() {
    let master = Master::start(Version::V18, Admin::Plain).await;
    let pool = master.bootstrap().await;
    let newer = "INSERT INTO registry.schema_migrations (version, name, checksum) SELECT max(version) + 1, 'newer', 'x' FROM registry.schema_migrations";
    sqlx::query(newer).execute(&pool).await.unwrap();
    let error = provisioning::master::bootstrap(&master.target(), &Migrations::master().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Schema(postgres::schema::Error::Ahead { .. })), "{error:?}");
}

#[tokio::test]
async fn a_registry_that_hangs_is_given_up_and_used_again_once_it_answers() {
    let master = Master::start(Version::V18, Admin::Plain).await;
    let pool = master.bootstrap().await;
    master.server.pause().unwrap();
    let error = occupancy(&pool, CLUSTER).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    master.server.resume().unwrap();
    assert_eq!(occupancy(&pool, CLUSTER).await.unwrap(), Occupancy::default());
}
