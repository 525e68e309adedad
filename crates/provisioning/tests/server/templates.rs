//! Building templates, staging from them, and dropping old ones.

use domain::retry::Class;
use domain::server::PasswordForm;
use postgres::error::Doing as _;
use postgres::locale;
use postgres::schema::{Migrations, short};
use provisioning::server::claim::Claimed;
use provisioning::server::{Error, collation, prepare, stage, template};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::fixtures::{Admin, MIGRATOR_PASSWORD, School, desired, on_every_bare_server, on_every_server};

const NAMED_LIKE_OURS: &str = "SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_database WHERE datname LIKE 'dc\\_%'";

#[tokio::test]
async fn the_real_schema_is_built_once_and_a_copy_has_the_seed_data_and_allows_no_ddl() {
    on_every_bare_server(async |mut server| {
        server.migrations = Migrations::tenant().unwrap();
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = server.pool.acquire().await.unwrap();
        // The server is observed before it has any of our roles.
        assert!(!template::exists(&mut conn, server.digest()).await.unwrap());
        prepare::prepare_roles(&server.pool, &desired(&password), PasswordForm::Verifier).await.unwrap();
        assert!(!template::exists(&mut conn, server.digest()).await.unwrap());
        server.build(&server.migrations).await.unwrap();
        assert!(template::exists(&mut conn, server.digest()).await.unwrap());
        let before = server.catalogs().await;
        server.build(&server.migrations).await.unwrap();
        assert_eq!(server.catalogs().await, before);
        let school = server.school("northside").await;
        let mut login = server.log_in(&school, school.database()).await.unwrap();
        let roles: i64 = sqlx::query_scalar("SELECT count(*) FROM app.roles").fetch_one(&mut login).await.unwrap();
        assert!(roles > 0);
        assert!(sqlx::raw_sql("CREATE TABLE app.mine ()").execute(&mut login).await.is_err());
        assert!(sqlx::raw_sql("CREATE TEMP TABLE mine ()").execute(&mut login).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_build_that_failed_or_was_interrupted_is_dropped_and_done_again() {
    on_every_server(async |server| {
        let failing = server.and_then("0003_late.sql", "SELECT 1/0;");
        let failed = server.build(&failing).await;
        assert!(matches!(failed, Err(Error::Migration { ref file, .. }) if file == "0003_late.sql"), "{failed:?}");
        let (digest, template) = (failing.digest(), template::name(failing.digest()));
        let building = format!("dc_building_{}", short(digest));
        assert!(server.query::<String>(NAMED_LIKE_OURS).await.contains(&building));
        // What stands under the template's name without being frozen is a leftover, too.
        server.as_admin(&format!("ALTER DATABASE {building} RENAME TO {template}")).await;
        assert!(!template::exists(&mut server.pool.acquire().await.unwrap(), digest).await.unwrap());
        let mut stranger = server.superuser(&template).await;
        let again = server.build(&failing).await.unwrap_err();
        if server.kind == Admin::Superuser {
            assert!(matches!(again, Error::Migration { .. }), "{again:?}");
            assert!(sqlx::raw_sql("SELECT 1").execute(&mut stranger).await.is_err());
        } else {
            // Only a superuser may end a superuser's session.
            assert_eq!(again.class(), Class::Denied, "{again:?}");
            stranger.close().await.unwrap();
            assert!(matches!(server.build(&failing).await, Err(Error::Migration { .. })));
        }
        assert!(!server.query::<String>(NAMED_LIKE_OURS).await.contains(&template));
        assert_eq!(server.query::<i64>(crate::fixtures::ADVISORY_LOCKS).await, 0);
    })
    .await;
}

#[tokio::test]
async fn two_builders_at_once_make_one_template() {
    on_every_server(async |server| {
        let newer = server.and_then("0003_more.sql", "CREATE TABLE app.more ();");
        // On a slow machine one waits for longer than the lock's time-out, and is told so.
        let patient = async || {
            loop {
                match server.build(&newer).await {
                    Err(error) if error.class() == Class::Contended => {}
                    built => return built,
                }
            }
        };
        let (one, two) = tokio::join!(patient(), patient());
        one.and(two).unwrap();
        let made = format!("CREATE DATABASE \"dc_building_{}\"", short(newer.digest()));
        assert_eq!(server.log().matches(&made).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn staging_needs_the_template_and_makes_databases_that_only_a_superuser_can_enter() {
    on_every_server(async |server| {
        let missing = stage::stage(&server.pool, &"f".repeat(64)).await;
        assert!(matches!(missing, Err(Error::Gone { .. })), "{missing:?}");
        let spare = server.stage().await;
        assert!(spare.len() <= 63, "{spare}");
        assert_eq!(server.spares().await, 1);
        let template = template::name(server.digest());
        server.as_superuser("CREATE ROLE stranger LOGIN PASSWORD 'x'; CREATE ROLE member LOGIN PASSWORD 'x' IN ROLE tenant_owner").await;
        for closed in [&spare, &template] {
            assert!(server.log_in_as_migrator(closed).await.is_err());
            for login in ["stranger", "member"] {
                let options = PgConnectOptions::new_without_pgpass().host(&server.endpoint.host).port(server.endpoint.port);
                let entered = options.username(login).password("x").database(closed).connect().await;
                assert!(entered.is_err(), "{login} enters {closed}");
            }
        }
        // The connection that staged is in the pool again, with the settings that it was opened with.
        let timeout: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&server.pool).await.unwrap();
        assert_eq!(timeout, "30s");
    })
    .await;
}

#[tokio::test]
async fn old_templates_and_spares_go_and_what_only_looks_like_them_stays() {
    on_every_server(async |server| {
        let school = server.school("kept").await;
        server.stage().await;
        let newer = server.and_then("0003_more.sql", "CREATE TABLE app.more ();");
        server.build(&newer).await.unwrap();
        let keep = newer.digest();
        let spare = stage::stage(&server.pool, keep).await.unwrap();
        // Not ours by its name, and not ours by its owner.
        server.as_superuser("CREATE DATABASE dc_template_of_mine OWNER tenant_owner").await;
        server.as_superuser("CREATE DATABASE dc_template_0123456789ab").await;
        for _ in 0..2 {
            template::drop_stale(&server.pool, keep).await.unwrap();
            let mut left = [spare.as_str(), "dc_template_0123456789ab", "dc_template_of_mine", &template::name(keep)];
            left.sort_unstable();
            let observed = server.query::<String>(NAMED_LIKE_OURS).await;
            let mut observed: Vec<_> = observed.split(' ').collect();
            observed.sort_unstable();
            assert_eq!(observed, left);
        }
        server.log_in(&school, school.database()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_a_file_leaves_in_its_session_reaches_no_later_file_of_the_template() {
    on_every_server(async |server| {
        server.and_then("0003_scratch.sql", "CREATE TEMP TABLE scratch (); SET app.leak = 'x'; SET search_path = nowhere;");
        let clean = "DO $$ BEGIN IF current_setting('app.leak', true) <> '' THEN RAISE 'leaked'; END IF; END $$";
        server.build(&server.and_then("0004_clean.sql", clean)).await.unwrap();
        let needing = server.and_then("0005_needs_scratch.sql", "SELECT FROM scratch;");
        let failed = server.build(&needing).await.unwrap_err();
        assert!(matches!(failed, Error::Migration { ref file, .. } if file == "0005_needs_scratch.sql"), "{failed:?}");
        assert_eq!(failed.class(), Class::Invalid);
    })
    .await;
}

#[tokio::test]
async fn a_spare_that_refuses_connections_as_those_of_earlier_versions_did_goes() {
    on_every_server(async |server| {
        let spare = server.stage().await;
        let mut conn = server.pool.acquire().await.unwrap();
        assert!(!template::stale(&mut conn, server.digest()).await.unwrap());
        // pg_upgrade refuses a server that has such a database.
        server.as_superuser(&format!("ALTER DATABASE {spare} ALLOW_CONNECTIONS false")).await;
        assert_eq!(server.spares().await, 0);
        assert!(template::stale(&mut conn, server.digest()).await.unwrap());
        template::drop_stale(&server.pool, server.digest()).await.unwrap();
        assert!(!server.query::<String>(NAMED_LIKE_OURS).await.contains(&spare));
        assert!(template::exists(&mut conn, server.digest()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_template_of_another_version_of_the_systems_collations_is_built_again_and_its_spares_go() {
    on_every_server(async |server| {
        let spare = server.stage().await;
        // The locale of templates has no version that an upgrade changes, so the change is imitated. PostgreSQL refuses to copy such a database.
        server.as_superuser("UPDATE pg_database SET datcollversion = '0' WHERE datname ~ '^dc_'").await;
        let refused = stage::stage(&server.pool, server.digest()).await.unwrap_err();
        assert_eq!(refused.sqlstate().as_deref(), Some("XX000"));
        let mut conn = server.pool.acquire().await.unwrap();
        assert!(!template::exists(&mut conn, server.digest()).await.unwrap());
        assert_eq!(server.spares().await, 0, "a spare that would become a school's outdated database counts");
        assert!(template::stale(&mut conn, server.digest()).await.unwrap());
        server.build(&server.migrations).await.unwrap();
        assert!(template::exists(&mut conn, server.digest()).await.unwrap());
        template::drop_stale(&server.pool, server.digest()).await.unwrap();
        assert!(!template::stale(&mut conn, server.digest()).await.unwrap());
        assert!(!server.query::<String>(NAMED_LIKE_OURS).await.contains(&spare));
        // Databases that stand are told of, and served.
        let before = server.school("before-the-upgrade").await;
        assert_eq!(collation::stale(&mut conn).await.unwrap(), Vec::<String>::new());
        server.as_superuser(&format!("UPDATE pg_database SET datcollversion = '0' WHERE datname = '{}'", before.database())).await;
        assert_eq!(collation::stale(&mut conn).await.unwrap(), [before.database()]);
        server.log_in(&before, before.database()).await.unwrap();
        let mended = format!(
            "UPDATE pg_database SET datcollversion = pg_database_collation_actual_version(oid) WHERE datname = '{}'",
            before.database()
        );
        server.as_superuser(&mended).await;
        assert_eq!(collation::stale(&mut conn).await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_school_has_the_same_locale_on_every_server_and_knows_the_letters_of_all_languages() {
    on_every_server(async |server| {
        let school = server.school("portable").await;
        let mut login = server.log_in(&school, school.database()).await.unwrap();
        let same: bool = sqlx::query_scalar("SELECT lower('ÁGUA ŻÓŁW') = 'água żółw' AND 'É' ~ '\\w' AND 'Z' < 'a' AND 'z' < 'á'")
            .fetch_one(&mut login)
            .await
            .unwrap();
        assert!(same);
        let versioned = format!(
            "SELECT count(*) FROM pg_database WHERE datname = '{}' AND datcollate = 'C' AND coalesce(datcollversion, '1') = '1'",
            school.database()
        );
        assert_eq!(server.query::<i64>(&versioned).await, 1);
        // What is done where the system has no such locale rests on this.
        let mut conn = server.superuser("postgres").await;
        let unknown = "CREATE DATABASE nowhere TEMPLATE template0 LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'xx_XX.UTF-8'";
        let error = sqlx::raw_sql(unknown).execute(&mut conn).await.doing("creating a database").unwrap_err();
        assert!(locale::is_unknown(&error), "{error:?}");
    })
    .await;
}

/// The databases for which `pg_upgrade` refuses a server (its `check_proper_datallowconn`, and its check of interrupted drops).
const REFUSED_BY_PG_UPGRADE: &str =
    "SELECT count(*) FROM pg_database WHERE (NOT datallowconn AND datname <> 'template0') OR datconnlimit = -2";

#[tokio::test]
async fn a_superuser_who_strays_into_a_template_or_spare_writes_nothing_and_holds_nothing_up() {
    on_every_server(async |server| {
        server.stage().await;
        assert_eq!(server.query::<i64>(REFUSED_BY_PG_UPGRADE).await, 0);
        let template = template::name(server.digest());
        let mut strayed = server.superuser(&template).await;
        let written = sqlx::raw_sql("CREATE TABLE app.stray ()").execute(&mut strayed).await.unwrap_err();
        assert_eq!(written.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(), Some("25006"));
        let staged = stage::stage(&server.pool, server.digest()).await;
        if server.kind == Admin::Superuser {
            staged.unwrap();
            assert!(sqlx::raw_sql("SELECT 1").execute(&mut strayed).await.is_err());
        } else {
            // Only a superuser may end a superuser's session.
            assert_eq!(staged.unwrap_err().class(), Class::Denied);
            strayed.close().await.unwrap();
            server.stage().await;
        }
        // A spare with somebody in it is left aside.
        let oldest = server.query::<String>("SELECT min(datname)::text FROM pg_database WHERE datname LIKE 'dc\\_spare\\_%'").await;
        let before = server.spares().await;
        let strayed = server.superuser(&oldest).await;
        assert_eq!(server.spares().await, before - 1);
        assert_eq!(server.claim(&School::named("undisturbed")).await, Claimed::Now);
        strayed.close().await.unwrap();
    })
    .await;
}
