//! `dailycare school-admin`, as an engineer of the platform runs it for a school that cannot sign in.

use std::process::Output;

use registry::password::{Checker, Verdict};
use sqlx::postgres::PgPool;
use testing::Version;
use testing::master::{Admin, DATABASE, Master, execute};
use tokio::process::Command;

const ANA: &str = "
    INSERT INTO registry.tenants (name, code, email) VALUES ('Norte', 'norte', 'geral@norte.example'), ('Sul', 'sul', 'geral@sul.example');
    INSERT INTO registry.users (tenant_id, name, email, password_hash, role, failed_logins, locked_until)
        SELECT id, 'Ana', 'ana@' || code || '.example', 'x', 'SchoolAdmin', 7, now() + interval '1 hour' FROM registry.tenants;
    INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
        SELECT id, 'Rui', 'rui@' || code || '.example', 'x', 'Teacher' FROM registry.tenants;
    INSERT INTO registry.refresh_tokens (family, user_id, current, salt, expires_at, ends_at)
        SELECT gen_random_uuid(), id, sha256('a'), sha256('b'), now() + interval '1 day', now() + interval '1 day' FROM registry.users";

const ROWS: &str = "SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM registry.users u";

struct Site {
    master: Master,
    pool: PgPool,
    url: String,
}

impl Site {
    async fn start(version: Version) -> Self {
        let master = Master::start(version, Admin::Plain).await;
        let pool = master.bootstrap().await;
        execute(&mut master.superuser(DATABASE).await, ANA).await;
        let url = format!("{}?sslmode=disable", master.address(DATABASE));
        Self { master, pool, url }
    }

    async fn reset(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
        command.args(["school-admin", "reset-password"]).args(arguments).env("DAILYCARE_MASTER_URL", &self.url).output().await.unwrap()
    }

    /// Runs it, and gives what it said; nothing may have changed.
    async fn refused(&self, arguments: &[&str]) -> String {
        let before: String = sqlx::query_scalar(ROWS).fetch_one(&self.pool).await.unwrap();
        let refused = self.reset(arguments).await;
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
        assert_eq!(sqlx::query_scalar::<_, String>(ROWS).fetch_one(&self.pool).await.unwrap(), before);
        String::from_utf8(refused.stderr).unwrap()
    }
}

#[tokio::test]
async fn a_schools_only_administrator_who_forgot_the_password_gets_a_temporary_one_on_record() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        let reset = site.reset(&["--school", "norte"]).await;
        let (shown, log) = (String::from_utf8(reset.stdout).unwrap(), String::from_utf8(reset.stderr).unwrap());
        assert!(reset.status.success(), "{log}");
        let password = shown.lines().find_map(|line| line.strip_prefix("password  ")).unwrap().to_owned();
        assert!(shown.contains("ana@norte.example") && !log.contains(&password) && !site.master.log().contains(&password));

        let select = "SELECT u.email, u.password_hash, u.must_change_password, u.failed_logins, u.locked_until IS NOT NULL,
                (SELECT count(*) FROM registry.refresh_tokens r WHERE r.user_id = u.id)
            FROM registry.users u WHERE u.password_hash <> 'x'";
        let changed: Vec<(String, String, bool, i32, bool, i64)> = sqlx::query_as(select).fetch_all(&site.pool).await.unwrap();
        let [(email, hash, temporary, failed, locked, sessions)] = &changed[..] else { panic!("{changed:?}") };
        assert_eq!((email.as_str(), *temporary, *failed, *locked, *sessions), ("ana@norte.example", true, 0, false, 0));
        assert_eq!(Checker::new(1).verify(&password.into(), Some(hash)).await.unwrap(), Verdict::Right);
        let audited = "SELECT count(*) FROM registry.access_audit a JOIN registry.users u ON u.id = a.user_id AND u.tenant_id = a.tenant_id
            WHERE a.action = 'platform:reset_school_admin' AND a.success AND u.email = 'ana@norte.example'";
        assert_eq!(sqlx::query_scalar::<_, i64>(audited).fetch_one(&site.pool).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn of_several_administrators_the_one_who_is_named_gets_the_password() {
    let site = Site::start(Version::V18).await;
    let eva = "INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
        SELECT id, 'Eva', 'eva@norte.example', 'x', 'SchoolAdmin' FROM registry.tenants WHERE code = 'norte'";
    execute(&mut site.master.superuser(DATABASE).await, eva).await;
    assert!(site.refused(&["--school", "norte"]).await.contains("2 active administrators"));
    let reset = site.reset(&["--school", "norte", "--email", "EVA@norte.example"]).await;
    assert!(reset.status.success() && String::from_utf8(reset.stdout).unwrap().contains("eva@norte.example"));
}

#[tokio::test]
async fn nobody_but_an_active_administrator_of_that_school_is_reset() {
    let site = Site::start(Version::V18).await;
    assert!(site.refused(&["--school", "este"]).await.contains("no school has the code este"));
    assert!(site.refused(&["--school", "No School"]).await.contains("--school"));
    for email in ["rui@norte.example", "ana@sul.example", "nobody@norte.example"] {
        assert!(site.refused(&["--school", "norte", "--email", email]).await.contains("no active administrator"), "{email}");
    }
    execute(&mut site.master.superuser(DATABASE).await, "UPDATE registry.users SET is_active = false WHERE name = 'Ana'").await;
    assert!(site.refused(&["--school", "norte"]).await.contains("no active administrator"));
}
