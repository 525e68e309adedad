//! `dailycare platform-admin`, as an engineer of the platform runs it.

use std::process::Output;

use registry::password::{Checker, Verdict};
use testing::Version;
use testing::master::{Admin, DATABASE, Master, execute, tables_with};
use tokio::process::Command;

async fn run(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
    command.arg("platform-admin").args(arguments).env("DAILYCARE_MASTER_URL", url).output().await.unwrap()
}

async fn make(url: &str, email: &str) -> Output {
    run(url, &["create", "--email", email, "--name", "Rui Matos"]).await
}

fn password(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().find_map(|line| line.strip_prefix("password  ")).unwrap().to_owned()
}

fn url(master: &Master) -> String {
    format!("{}?sslmode=disable", master.address(DATABASE))
}

#[tokio::test]
async fn a_platform_account_is_made_with_a_password_shown_once_that_must_be_changed() {
    for version in Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        let pool = master.bootstrap().await;
        let made = make(&url(&master), "rui@platform.example").await;
        let log = String::from_utf8(made.stderr.clone()).unwrap();
        assert!(made.status.success(), "{log}");
        let password = password(&made);
        assert!(!log.contains(&password) && !master.log().contains(&password), "the password is elsewhere too");

        let select =
            "SELECT role, tenant_id IS NULL, must_change_password, password_hash FROM registry.users WHERE email = 'rui@platform.example'";
        let (role, nobodys, temporary, hash): (String, bool, bool, String) = sqlx::query_as(select).fetch_one(&pool).await.unwrap();
        assert_eq!((role.as_str(), nobodys, temporary), ("PlatformAdmin", true, true));
        let checker = Checker::new(1);
        assert_eq!(checker.verify(&password.into(), Some(&hash)).await.unwrap(), Verdict::Right);
        let audited = "SELECT count(*) FROM registry.access_audit a JOIN registry.users u ON u.id = a.user_id
            WHERE a.action = 'platform:create_admin' AND a.success AND u.email = 'rui@platform.example'";
        assert_eq!(sqlx::query_scalar::<_, i64>(audited).fetch_one(&pool).await.unwrap(), 1);
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
async fn a_reset_password_or_a_removed_account_leaves_a_record_and_no_session() {
    let master = Master::start(Version::V18, Admin::Plain).await;
    let pool = master.bootstrap().await;
    let url = url(&master);
    assert!(make(&url, "rui@platform.example").await.status.success());
    let left = "SELECT count(*) FROM registry.refresh_tokens";
    let enter = "INSERT INTO registry.refresh_tokens (family, user_id, current, salt, expires_at, ends_at)
        SELECT gen_random_uuid(), id, sha256('a'), sha256('b'), now() + interval '1 day', now() + interval '1 day' FROM registry.users";
    let account = "SELECT password_hash, must_change_password, failed_logins, locked_until IS NOT NULL, is_deleted FROM registry.users";
    execute(&mut master.superuser(DATABASE).await, enter).await;
    let lock = "UPDATE registry.users SET must_change_password = false, failed_logins = 7, locked_until = now() + interval '1 hour'";
    execute(&mut master.superuser(DATABASE).await, lock).await;

    let reset = run(&url, &["reset-password", "--email", "Rui@platform.example"]).await;
    assert!(reset.status.success(), "{reset:?}");
    let (hash, temporary, failed, locked, deleted): (String, bool, i32, bool, bool) =
        sqlx::query_as(account).fetch_one(&pool).await.unwrap();
    assert_eq!((temporary, failed, locked, deleted), (true, 0, false, false));
    assert_eq!(Checker::new(1).verify(&password(&reset).into(), Some(&hash)).await.unwrap(), Verdict::Right);
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&pool).await.unwrap(), 0);

    execute(&mut master.superuser(DATABASE).await, enter).await;
    let removed = run(&url, &["remove", "--email", "rui@platform.example"]).await;
    assert!(removed.status.success() && removed.stdout.is_empty(), "{removed:?}");
    let (hash, .., deleted): (String, bool, i32, bool, bool) = sqlx::query_as(account).fetch_one(&pool).await.unwrap();
    assert!(deleted && hash == "!", "the password of a removed account stays");
    let address = tables_with(&mut master.superuser(DATABASE).await, "rui@platform.example").await;
    assert!(address.is_empty(), "a removed account's address is in {address:?}");
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&pool).await.unwrap(), 0);
    let audited = "SELECT array_agg(action ORDER BY occurred_at) FROM registry.access_audit WHERE action LIKE 'platform:%'";
    let actions: Vec<String> = sqlx::query_scalar(audited).fetch_one(&pool).await.unwrap();
    assert_eq!(actions, ["platform:create_admin", "platform:reset_password", "platform:remove_admin"]);
}

#[tokio::test]
async fn nobody_but_the_platforms_own_staff_is_reset_or_removed() {
    let master = Master::start(Version::V18, Admin::Plain).await;
    let pool = master.bootstrap().await;
    let url = url(&master);
    let mut superuser = master.superuser(DATABASE).await;
    execute(&mut superuser, "INSERT INTO registry.tenants (name, code, email) VALUES ('Norte', 'norte', 'geral@norte.example')").await;
    let ana = "INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
        SELECT id, 'Ana', 'ana@norte.example', 'x', 'SchoolAdmin' FROM registry.tenants";
    execute(&mut superuser, ana).await;
    let rows = "SELECT md5(string_agg(u::text, ',')) FROM registry.users u";
    let before: String = sqlx::query_scalar(rows).fetch_one(&pool).await.unwrap();
    for command in ["reset-password", "remove"] {
        let refused = run(&url, &[command, "--email", "ana@norte.example"]).await;
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
        assert!(String::from_utf8(refused.stderr).unwrap().contains("no account of the platform's staff"));
    }
    assert_eq!(sqlx::query_scalar::<_, String>(rows).fetch_one(&pool).await.unwrap(), before);
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
