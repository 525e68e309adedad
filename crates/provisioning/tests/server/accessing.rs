//! Opening, closing, barring and repairing.

use domain::retry::Class;
use domain::school::observed::{DatabaseAccess, ObservedDatabase, ObservedLogin};
use domain::server::PasswordForm;
use postgres::session::{self, Credentials, Purpose};
use provisioning::server::drop::drop_database;
use provisioning::server::password::SentPassword;
use provisioning::server::{Error, access};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::fixtures::{ADVISORY_LOCKS, ANOTHER_CLUSTER, Admin, FINGERPRINT, LIMIT, School, on_every_server};

/// What an admin can do by hand to a school, open or closed.
fn drifts(school: &School) -> Vec<String> {
    let (database, login) = (school.database(), school.login());
    vec![
        format!("GRANT CONNECT ON DATABASE {database} TO PUBLIC"),
        format!("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC"),
        format!("GRANT TEMPORARY ON DATABASE {database} TO {login}"),
        format!("GRANT CREATE ON DATABASE {database} TO tenant_app"),
        format!("GRANT CONNECT ON DATABASE {database} TO stranger WITH GRANT OPTION"),
        format!("REVOKE CONNECT ON DATABASE {database} FROM dailycare_migrator"),
        format!("REVOKE CREATE ON DATABASE {database} FROM tenant_owner"),
        format!("ALTER DATABASE {database} IS_TEMPLATE true"),
        format!("ALTER DATABASE {database} CONNECTION LIMIT 3"),
        format!("ALTER ROLE {login} CREATEDB"),
        format!("ALTER ROLE {login} CREATEROLE"),
        format!("ALTER ROLE {login} NOINHERIT"),
        format!("ALTER ROLE {login} VALID UNTIL '2020-01-01'"),
        format!("REVOKE tenant_app FROM {login}"),
        format!("GRANT tenant_app TO {login} WITH ADMIN OPTION"),
        format!("GRANT stranger TO {login}"),
        format!("GRANT tenant_owner TO {login}"),
    ]
}

/// What only a superuser can do, and in part undo.
fn superuser_drifts(school: &School) -> Vec<String> {
    let (database, login) = (school.database(), school.login());
    vec![
        format!("ALTER ROLE {login} SUPERUSER"),
        format!("ALTER ROLE {login} REPLICATION"),
        format!("ALTER ROLE {login} BYPASSRLS"),
        format!("GRANT pg_read_all_data TO {login}"),
        format!("ALTER DATABASE {database} OWNER TO postgres"),
        format!("GRANT stranger TO helper WITH ADMIN OPTION; SET ROLE helper; GRANT stranger TO {login}"),
        format!(
            "GRANT CONNECT ON DATABASE {database} TO stranger WITH GRANT OPTION; SET ROLE stranger; GRANT CONNECT ON DATABASE {database} TO PUBLIC"
        ),
    ]
}

#[tokio::test]
async fn members_of_the_monitoring_role_enter_every_school_open_or_closed_and_keep_that() {
    on_every_server(async |server| {
        let (school, closed) = (server.school("watched").await, server.school("shut").await);
        access::close(&server.pool, &closed.objects).await.unwrap();
        server.as_superuser("CREATE ROLE exporter LOGIN PASSWORD 'watches' IN ROLE dailycare_monitor").await;
        for (school, expected) in [(&school, DatabaseAccess::Open), (&closed, DatabaseAccess::Closed)] {
            assert_eq!(server.access(school).await, expected);
            let credentials = Credentials { username: "exporter".into(), password: "watches".into() };
            let settings = session::options(&server.endpoint, &credentials, school.database(), Purpose::Operator);
            let mut conn = session::connect(&settings, "watching").await.unwrap();
            let refused = sqlx::raw_sql("SELECT FROM app.children").execute(&mut conn).await.unwrap_err();
            assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "it may enter and read nothing");
        }
        server.as_admin(&format!("GRANT CONNECT ON DATABASE {} TO exporter", school.database())).await;
        assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "a right of one's own is none that stays");
        access::open(&server.pool, &school.objects, LIMIT).await.unwrap();
        assert_eq!(server.access(&school).await, DatabaseAccess::Open);
    })
    .await;
}

#[tokio::test]
async fn every_change_by_hand_is_observed_and_undone_open_or_closed() {
    on_every_server(async |server| {
        let school = server.school("drifting").await;
        let (pool, objects) = (&server.pool, &school.objects);
        server.as_admin("CREATE ROLE stranger").await;
        for drift in drifts(&school) {
            server.as_admin(&drift).await;
            assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "{drift}");
            access::open(pool, objects, LIMIT).await.unwrap_or_else(|error| panic!("{drift}: {error:?}"));
            assert_eq!(server.access(&school).await, DatabaseAccess::Open, "{drift}");
            access::close(pool, objects).await.unwrap();
            server.as_admin(&drift).await;
            assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "{drift}, closed");
            access::close(pool, objects).await.unwrap_or_else(|error| panic!("{drift}: {error:?}"));
            assert_eq!(server.access(&school).await, DatabaseAccess::Closed, "{drift}");
            access::open(pool, objects, LIMIT).await.unwrap();
        }
        for drift in ["NOLOGIN", "CONNECTION LIMIT 99"] {
            server.as_admin(&format!("ALTER ROLE {} {drift}", school.login())).await;
            assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "{drift}");
            access::open(pool, objects, LIMIT).await.unwrap();
            assert_eq!(server.access(&school).await, DatabaseAccess::Open, "{drift}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_only_a_superuser_may_undo_is_undone_by_one_and_denied_to_a_plain_admin() {
    on_every_server(async |server| {
        server.as_admin("CREATE ROLE stranger; CREATE ROLE helper").await;
        let count = superuser_drifts(&School::named("any")).len();
        for n in 0..count {
            let school = server.school(&format!("elevated-{n}")).await;
            let drift = superuser_drifts(&school).swap_remove(n);
            server.as_superuser(&drift).await;
            assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "{drift}");
            match access::open(&server.pool, &school.objects, LIMIT).await {
                Ok(()) => assert_eq!(server.access(&school).await, DatabaseAccess::Open, "{drift}"),
                Err(error) => {
                    assert_eq!((server.kind, error.class()), (Admin::Plain, Class::Denied), "{drift}: {error:?}");
                    assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "{drift}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rights_passed_on_are_undone_and_those_out_of_reach_do_not_count_as_undone() {
    on_every_server(async |server| {
        let school = server.school("entangled").await;
        let database = school.database();
        let admin = if server.kind == Admin::Superuser { "postgres" } else { "dailycare_admin" };
        server.as_superuser("CREATE ROLE helper; GRANT tenant_owner TO helper").await;
        let pass_on = format!(
            "GRANT CONNECT ON DATABASE {database} TO helper WITH GRANT OPTION; SET ROLE helper; GRANT CONNECT ON DATABASE {database} TO PUBLIC"
        );
        server.as_superuser(&pass_on).await;
        access::open(&server.pool, &school.objects, LIMIT).await.unwrap();
        assert_eq!(server.access(&school).await, DatabaseAccess::Open);
        server.as_superuser(&format!("GRANT {admin} TO helper")).await;
        server.as_superuser(&pass_on).await;
        for _ in 0..2 {
            let error = access::open(&server.pool, &school.objects, LIMIT).await.unwrap_err();
            assert!(matches!(error, Error::RightsRemain { .. }) && error.class() == Class::Denied, "{error:?}");
            assert_eq!(server.access(&school).await, DatabaseAccess::Drifted);
        }
        server.as_superuser(&format!("REVOKE {admin} FROM helper")).await;
        access::open(&server.pool, &school.objects, LIMIT).await.unwrap();
        assert_eq!(server.access(&school).await, DatabaseAccess::Open);
    })
    .await;
}

#[tokio::test]
async fn each_action_twice_writes_once() {
    on_every_server(async |server| {
        let school = server.school("twice").await;
        let (pool, objects) = (&server.pool, &school.objects);
        access::close(pool, objects).await.unwrap();
        let closed = server.catalogs().await;
        access::close(pool, objects).await.unwrap();
        assert_eq!((server.catalogs().await, server.access(&school).await), (closed, DatabaseAccess::Closed));
        access::bar(pool, objects).await.unwrap();
        let barred = server.catalogs().await;
        access::bar(pool, objects).await.unwrap();
        assert_eq!((server.catalogs().await, server.access(&school).await), (barred, DatabaseAccess::Barred));
        access::open(pool, objects, LIMIT).await.unwrap();
        let open = server.catalogs().await;
        access::open(pool, objects, LIMIT).await.unwrap();
        access::restore_login(pool, objects, school.uid).await.unwrap();
        assert_eq!((server.catalogs().await, server.access(&school).await), (open, DatabaseAccess::Open));
    })
    .await;
}

#[tokio::test]
async fn closing_ends_live_sessions_and_lets_the_migrator_in_and_barring_lets_nobody_in() {
    on_every_server(async |server| {
        let school = server.school("closing").await;
        let (pool, objects, database) = (&server.pool, &school.objects, school.database());
        let mut live = server.log_in(&school, database).await.unwrap();
        access::close(pool, objects).await.unwrap();
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", school.login());
        assert_eq!(server.query::<i64>(&sessions).await, 0);
        assert!(sqlx::raw_sql("SELECT 1").execute(&mut live).await.is_err());
        assert!(server.log_in(&school, database).await.is_err());
        let mut migrator = server.log_in_as_migrator(database).await.unwrap();
        access::bar(pool, objects).await.unwrap();
        assert!(sqlx::raw_sql("SELECT 1").execute(&mut migrator).await.is_err());
        assert!(server.log_in_as_migrator(database).await.is_err());
        access::open(pool, objects, LIMIT).await.unwrap();
        server.log_in(&school, database).await.unwrap();
        // The right to end their sessions was taken for a moment only.
        let members = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
            WHERE r.rolname LIKE 'dailycare\\_%' AND coalesce((to_jsonb(m)->>'inherit_option')::bool, true)";
        assert_eq!(server.query::<i64>(members).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_lost_login_comes_back_without_a_way_in_until_it_has_a_password_and_is_opened() {
    on_every_server(async |server| {
        let school = server.school("loginless").await;
        let (pool, objects, login) = (&server.pool, &school.objects, school.login());
        server.as_admin(&format!("REVOKE ALL ON DATABASE {} FROM {login}; DROP ROLE {login}", school.database())).await;
        assert_eq!(server.observe(&school).await.login, ObservedLogin::Absent);
        assert_eq!(server.access(&school).await, DatabaseAccess::Closed);
        assert!(matches!(access::open(pool, objects, LIMIT).await, Err(Error::Gone { .. })));
        for _ in 0..2 {
            access::restore_login(pool, objects, school.uid).await.unwrap();
            assert_eq!(server.observe(&school).await.login, ObservedLogin::Differing);
            assert_eq!(server.access(&school).await, DatabaseAccess::Closed);
        }
        for _ in 0..2 {
            let sent = SentPassword::new(&school.password, PasswordForm::Verifier);
            access::set_password(pool, objects, school.uid, &sent, FINGERPRINT).await.unwrap();
            assert_eq!(server.observe(&school).await.login, ObservedLogin::Matching);
        }
        access::open(pool, objects, LIMIT).await.unwrap();
        server.log_in(&school, school.database()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_is_never_sent() {
    on_every_server(async |server| {
        let mut school = server.school("rotating").await;
        let password: SecretString = "canary-rotated-password".into();
        access::set_password(&server.pool, &school.objects, school.uid, &SentPassword::new(&password, PasswordForm::Verifier), "new")
            .await
            .unwrap();
        assert_eq!(server.observe(&school).await.login, ObservedLogin::Differing);
        assert!(server.log_in(&school, school.database()).await.is_err());
        school.password = password;
        server.log_in(&school, school.database()).await.unwrap();
        assert!(!server.log().contains("canary-rotated-password"));
    })
    .await;
}

#[tokio::test]
async fn nothing_with_another_ownership_comment_is_touched() {
    on_every_server(async |server| {
        let theirs = server.school("theirs").await;
        server.as_admin(&format!("ALTER ROLE {} CREATEDB", theirs.login())).await;
        let mut us = School::named("theirs");
        us.objects.cluster = ANOTHER_CLUSTER;
        for comment in [None, Some("'{\"tenant\": '"), Some("NULL")] {
            if let Some(comment) = comment {
                let (database, login) = (us.database(), us.login());
                server.as_admin(&format!("COMMENT ON DATABASE {database} IS {comment}; COMMENT ON ROLE {login} IS {comment}")).await;
                us = School::named("theirs");
            }
            let before = server.catalogs().await;
            let (pool, objects) = (&server.pool, &us.objects);
            let outcomes = [
                access::open(pool, objects, LIMIT).await,
                access::close(pool, objects).await,
                access::bar(pool, objects).await,
                access::restore_login(pool, objects, us.uid).await,
                access::set_password(pool, objects, us.uid, &SentPassword::new(&us.password, PasswordForm::Verifier), FINGERPRINT).await,
                drop_database(pool, objects).await,
            ];
            for outcome in outcomes {
                assert!(matches!(outcome, Err(Error::NotOurs { .. })), "{outcome:?}");
            }
            assert_eq!(server.catalogs().await, before);
        }
    })
    .await;
}

#[tokio::test]
async fn closing_takes_connect_from_a_foreign_role_of_the_logins_name_and_nothing_else() {
    on_every_server(async |server| {
        let school = server.school("impostor").await;
        server.as_admin(&format!("COMMENT ON ROLE {login} IS 'mine'; ALTER ROLE {login} CREATEDB", login = school.login())).await;
        assert_eq!(server.observe(&school).await.login, ObservedLogin::Foreign);
        assert_eq!(server.access(&school).await, DatabaseAccess::Drifted);
        assert!(matches!(access::open(&server.pool, &school.objects, LIMIT).await, Err(Error::NotOurs { .. })));
        access::close(&server.pool, &school.objects).await.unwrap();
        assert_eq!(server.access(&school).await, DatabaseAccess::Closed);
        let untouched = format!("SELECT rolcanlogin AND rolcreatedb FROM pg_roles WHERE rolname = '{}'", school.login());
        assert!(server.query::<bool>(&untouched).await);
        assert_eq!(server.query::<i64>(ADVISORY_LOCKS).await, 0);
    })
    .await;
}

#[tokio::test]
async fn closing_takes_login_from_ours_although_the_database_lost_its_comment_and_leaves_that_alone() {
    on_every_server(async |server| {
        let school = server.school("uncommented").await;
        let session = server.log_in(&school, school.database()).await.unwrap();
        server.as_admin(&format!("COMMENT ON DATABASE {} IS NULL", school.database())).await;
        assert_eq!(server.observe(&school).await.database, ObservedDatabase::Foreign { entered: true });
        let row = format!("SELECT d::text FROM pg_database d WHERE datname = '{}'", school.database());
        let before: String = server.query(&row).await;
        access::close(&server.pool, &school.objects).await.unwrap();
        assert_eq!(server.observe(&school).await.database, ObservedDatabase::Foreign { entered: false });
        assert_eq!(server.query::<String>(&row).await, before);
        drop(session);
        server.log_in(&school, school.database()).await.unwrap_err();
        assert_eq!(server.query::<i64>(ADVISORY_LOCKS).await, 0);
    })
    .await;
}

#[tokio::test]
async fn an_application_that_names_no_schema_finds_its_tables_and_our_own_sessions_look_where_they_say() {
    on_every_server(async |server| {
        let school = server.school("plain-client").await;
        let plain = async || {
            let options = PgConnectOptions::new_without_pgpass().host(&server.endpoint.host).port(server.endpoint.port);
            let options = options.username(school.login()).password(school.password.expose_secret()).database(school.database());
            options.connect().await.unwrap()
        };
        sqlx::raw_sql("INSERT INTO notes (text) VALUES ('found'); SELECT * FROM notes").execute(&mut plain().await).await.unwrap();
        let path = async |conn: &mut PgConnection| sqlx::query_scalar::<_, String>("SHOW search_path").fetch_one(conn).await.unwrap();
        assert_eq!(path(&mut plain().await).await, "app, public");
        // What the school says for its own login counts, and is no drift.
        sqlx::raw_sql("ALTER ROLE CURRENT_USER SET search_path = app").execute(&mut plain().await).await.unwrap();
        assert_eq!(path(&mut plain().await).await, "app");
        assert_eq!(path(&mut server.log_in(&school, school.database()).await.unwrap()).await, "pg_catalog,app,pg_temp");
        assert_eq!(server.access(&school).await, DatabaseAccess::Open);
        let before = server.catalogs().await;
        access::open(&server.pool, &school.objects, LIMIT).await.unwrap();
        assert_eq!(server.catalogs().await, before);
        // A database from before there was a path, or with another one, is drifted and corrected.
        for other in ["RESET search_path", "SET search_path = nowhere"] {
            server.as_admin(&format!("ALTER DATABASE {} {other}", school.database())).await;
            assert_eq!(server.access(&school).await, DatabaseAccess::Drifted, "{other}");
            access::open(&server.pool, &school.objects, LIMIT).await.unwrap();
            assert_eq!(server.access(&school).await, DatabaseAccess::Open);
        }
        assert_eq!(path(&mut server.superuser(school.database()).await).await, "app, public");
    })
    .await;
}
