//! Migrating living schools.

use domain::retry::Class;
use domain::school::observed::{DatabaseAccess, ObservedDatabase, Schema};
use postgres::schema::{Applied, Migrations};
use provisioning::server::{Error, Object, Result, access, migrate};

use crate::fixtures::{LIMIT, School, Server, everything_about, migrator, on_every_server};

/// Builds the template, then applies the last of the files.
async fn migrate_last(server: &Server, school: &School, migrations: &Migrations) -> Result<Applied> {
    server.build(migrations).await.unwrap();
    migrate_without_template(server, school, migrations).await
}

async fn migrate_without_template(server: &Server, school: &School, migrations: &Migrations) -> Result<Applied> {
    let migration = migrations.all().last().unwrap();
    migrate::migrate(&server.endpoint, &migrator(), &school.objects, migrations, migration).await
}

async fn schema(server: &Server, school: &School) -> Schema {
    match server.observe(school).await.database {
        ObservedDatabase::Ours { schema, .. } => schema,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_read_only_brake_of_the_server_is_respected_by_migrations_and_schools() {
    on_every_server(async |server| {
        let school = server.school("braked").await;
        let newer = server.and_then("0003_more.sql", "CREATE TABLE app.more ();");
        server.build(&newer).await.unwrap();
        server.as_superuser("ALTER SYSTEM SET default_transaction_read_only = on").await;
        server.as_superuser("SELECT pg_reload_conf()").await;
        let braked = async || {
            let mut conn = server.log_in_as_migrator(school.database()).await.unwrap();
            sqlx::query_scalar::<_, String>("SHOW transaction_read_only").fetch_one(&mut conn).await.unwrap() == "on"
        };
        while !braked().await {}
        let refused = migrate_last(&server, &school, &newer).await.unwrap_err();
        assert_eq!((refused.sqlstate().as_deref(), refused.class()), (Some("25006"), Class::Transient));
        let mut login = server.log_in(&school, school.database()).await.unwrap();
        let found: String = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(&mut login).await.unwrap();
        assert_eq!(found, "on");
    })
    .await;
}

#[tokio::test]
async fn a_file_and_its_comment_come_together_and_once_whether_open_or_closed() {
    on_every_server(async |mut server| {
        let (school, closed) = (server.school("growing").await, server.school("sleeping").await);
        access::close(&server.pool, &closed.objects).await.unwrap();
        let newer = server.and_then("0003_more.sql", "CREATE TABLE app.more (); GRANT SELECT ON app.more TO tenant_app;");
        server.migrations = newer.clone();
        for (school, access) in [(&school, DatabaseAccess::Open), (&closed, DatabaseAccess::Closed)] {
            assert_eq!(schema(&server, school).await, Schema { version: 2, genuine: true });
            assert_eq!(migrate_last(&server, school, &newer).await.unwrap(), Applied::Now);
            assert_eq!(migrate_last(&server, school, &newer).await.unwrap(), Applied::Already);
            assert_eq!(server.observe(school).await.database, server.whole(access));
        }
        access::open(&server.pool, &closed.objects, LIMIT).await.unwrap();
        let mut login = server.log_in(&closed, closed.database()).await.unwrap();
        sqlx::raw_sql("SELECT FROM app.more").execute(&mut login).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_comment_that_was_set_back_is_corrected_without_running_the_file_again() {
    on_every_server(async |mut server| {
        let school = server.school("forgetful").await;
        let comment = format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{}'", school.database());
        let old = server.query::<String>(&comment).await;
        let newer = server.and_then("0003_more.sql", "CREATE TABLE app.more ();");
        migrate_last(&server, &school, &newer).await.unwrap();
        server.as_admin(&format!("COMMENT ON DATABASE {} IS '{old}'", school.database())).await;
        server.migrations = newer.clone();
        assert_eq!(schema(&server, &school).await, Schema { version: 2, genuine: true });
        assert_eq!(migrate_last(&server, &school, &newer).await.unwrap(), Applied::Already);
        assert_eq!(schema(&server, &school).await, Schema { version: 3, genuine: true });
    })
    .await;
}

#[tokio::test]
async fn a_failing_file_is_named_with_its_sqlstate_and_leaves_nothing() {
    on_every_server(async |mut server| {
        let school = server.school("failing").await;
        let mut login = server.log_in(&school, school.database()).await.unwrap();
        sqlx::raw_sql("INSERT INTO app.notes VALUES ('canary row')").execute(&mut login).await.unwrap();
        let bad = "CREATE TABLE app.half (); SELECT text::int FROM app.notes;";
        server.migrations = server.and_then("0003_bad.sql", bad);
        let error = migrate_last(&server, &school, &server.migrations).await.unwrap_err();
        assert_eq!(error.to_string(), "migration 0003_bad.sql failed (SQLSTATE 22P02)");
        assert_eq!(error.class(), Class::Invalid);
        let text = everything_about(&error);
        assert!(!text.contains("canary row") && !text.contains("app.half"), "{text}");
        assert_eq!(schema(&server, &school).await, Schema { version: 2, genuine: true });
        let left = "SELECT count(*) FROM pg_tables WHERE tablename = 'half'";
        assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&mut login).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_busy_school_is_left_alone_and_migrated_when_it_is_free() {
    on_every_server(async |server| {
        let school = server.school("busy").await;
        let newer = server.and_then("0003_wider.sql", "ALTER TABLE app.notes ADD wider text;");
        let mut busy = server.log_in(&school, school.database()).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT FROM app.notes").execute(&mut busy).await.unwrap();
        let error = migrate_last(&server, &school, &newer).await.unwrap_err();
        assert_eq!((error.class(), error.sqlstate().as_deref()), (Class::Contended, Some("55P03")));
        assert_eq!(schema(&server, &school).await.version, 2);
        sqlx::raw_sql("COMMIT").execute(&mut busy).await.unwrap();
        assert_eq!(migrate_last(&server, &school, &newer).await.unwrap(), Applied::Now);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_does_not_follow_or_a_database_that_is_not_ours_is_refused() {
    on_every_server(async |server| {
        let mut school = server.school("skipping").await;
        server.and_then("0003_three.sql", "SELECT 3;");
        let newer = server.and_then("0004_four.sql", "SELECT 4;");
        assert!(matches!(migrate_last(&server, &school, &newer).await, Err(Error::OutOfOrder { found: 2, expected: 3, .. })));
        school.objects.tenant = School::named("other").objects.tenant;
        assert!(matches!(migrate_last(&server, &school, &newer).await, Err(Error::NotOurs { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_migrator_that_cannot_become_the_owner_runs_nothing() {
    on_every_server(async |server| {
        let school = server.school("wrong-role").await;
        let newer = server.and_then("0003_more.sql", "CREATE TABLE app.more ();");
        server.build(&newer).await.unwrap();
        server.as_admin("ALTER ROLE dailycare_migrator RESET role").await;
        let refused = migrate_without_template(&server, &school, &newer).await;
        assert!(matches!(refused, Err(Error::WrongRole { .. })), "{refused:?}");
        assert_eq!(schema(&server, &school).await.version, 2);
    })
    .await;
}

#[tokio::test]
async fn an_index_is_made_without_locking_the_school_out() {
    on_every_server(async |mut server| {
        let school = server.school("indexed").await;
        let file = "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS notes_text_idx ON app.notes (text);";
        server.migrations = server.and_then("0003_notes_text_idx.sql", file);
        assert_eq!(migrate_last(&server, &school, &server.migrations).await.unwrap(), Applied::Now);
        assert_eq!(schema(&server, &school).await, Schema { version: 3, genuine: true });
        assert_eq!(migrate_last(&server, &school, &server.migrations).await.unwrap(), Applied::Already);
        let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'app.notes_text_idx'::regclass";
        let mut login = server.log_in(&school, school.database()).await.unwrap();
        assert!(sqlx::query_scalar::<_, bool>(valid).fetch_one(&mut login).await.unwrap());
        server.build(&server.migrations).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_that_the_template_could_not_be_built_with_reaches_no_school() {
    on_every_server(async |server| {
        let school = server.school("spared").await;
        server.and_then("0003_good.sql", "CREATE TABLE app.good ();");
        let failing = server.and_then("0004_bad.sql", "SELECT 1 / 0;");
        assert_eq!(server.build(&failing).await.unwrap_err().class(), Class::Invalid);
        let good = &failing.all()[2];
        let refused = migrate::migrate(&server.endpoint, &migrator(), &school.objects, &failing, good).await.unwrap_err();
        assert!(matches!(refused, Error::Gone { object: Object::Template, .. }), "{refused:?}");
        assert_eq!(schema(&server, &school).await, Schema { version: 2, genuine: true });
    })
    .await;
}
