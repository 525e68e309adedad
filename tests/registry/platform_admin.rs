//! `dailycare platform-admin`, as an engineer of the platform runs it.

use std::process::Output;

use dailycare::registry::password::{Checker, Verdict};
use dailycare::testing::Version;
use tokio::process::Command;

use crate::{Admin, DATABASE, Master, execute};

async fn make(url: &str, email: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
    command.args(["platform-admin", "--email", email, "--name", "Rui Matos"]).env("DAILYCARE_MASTER_URL", url);
    command.output().await.unwrap()
}

fn url(master: &Master) -> String {
    format!("{}?sslmode=disable", master.address(DATABASE))
}

#[tokio::test]
async fn an_account_of_the_platforms_staff_is_made_with_a_password_that_must_be_changed_and_is_told_once() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        let pool = master.bootstrap().await;
        let made = make(&url(&master), "rui@platform.example").await;
        let (told, log) = (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
        assert!(made.status.success(), "{log}");
        let password = told.lines().find_map(|line| line.strip_prefix("password  ")).unwrap().to_owned();
        assert!(!log.contains(&password) && !master.log().contains(&password), "the password is elsewhere too");

        let look =
            "SELECT role, tenant_id IS NULL, must_change_password, password_hash FROM registry.users WHERE email = 'rui@platform.example'";
        let (role, nobodys, temporary, hash): (String, bool, bool, String) = sqlx::query_as(look).fetch_one(&pool).await.unwrap();
        assert_eq!((role.as_str(), nobodys, temporary), ("PlatformAdmin", true, true));
        let checker = Checker::new(1);
        assert_eq!(checker.verify(&password.into(), Some(&hash)).await.unwrap(), Verdict::Right);
        let told = "SELECT count(*) FROM registry.access_audit a JOIN registry.users u ON u.id = a.user_id
            WHERE a.action = 'platform:create_admin' AND a.success AND u.email = 'rui@platform.example'";
        assert_eq!(sqlx::query_scalar::<_, i64>(told).fetch_one(&pool).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn an_email_address_that_has_an_account_is_refused_and_nothing_is_changed() {
    let master = Master::start(Version::V18, Admin::Plain).await;
    let pool = master.bootstrap().await;
    assert!(make(&url(&master), "rui@platform.example").await.status.success());
    let rows = "SELECT md5(string_agg(u::text, ',')) FROM registry.users u";
    let before: String = sqlx::query_scalar(rows).fetch_one(&pool).await.unwrap();
    let again = make(&url(&master), "RUI@Platform.example").await;
    assert!(!again.status.success() && again.stdout.is_empty(), "{again:?}");
    assert!(String::from_utf8(again.stderr).unwrap().contains("has an account already"));
    assert_eq!(sqlx::query_scalar::<_, String>(rows).fetch_one(&pool).await.unwrap(), before);
    for no_address in ["rui", "@", "rui@", "r ui@x", "rui@x@y"] {
        assert!(!make(&url(&master), no_address).await.status.success(), "{no_address}");
    }
}

#[tokio::test]
async fn the_apis_login_cannot_make_one() {
    let master = Master::start(Version::V18, Admin::Plain).await;
    let pool = master.bootstrap().await;
    execute(&mut master.superuser("postgres").await, "CREATE ROLE api LOGIN PASSWORD 'canary' IN ROLE dailycare_api").await;
    let url = format!("postgres://api:canary@{}:{}/{DATABASE}?sslmode=disable", master.server.host(), master.server.port());
    let refused = make(&url, "rui@platform.example").await;
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    assert_eq!(sqlx::query_scalar::<_, i64>("SELECT count(*) FROM registry.users").fetch_one(&pool).await.unwrap(), 0);
}
