//! Dropping databases and logins.

use domain::school::observed::{ObservedDatabase, ObservedLogin};
use provisioning::server::drop::{drop_database, drop_login, nothing_left};
use provisioning::server::{Error, access};

use sqlx::AssertSqlSafe;
use testing::until;

use crate::fixtures::{ADVISORY_LOCKS, LIMIT, School, Server, on_every_server};

async fn closed(server: &Server, code: &str) -> School {
    let school = server.school(code).await;
    access::close(&server.pool, &school.objects).await.unwrap();
    school
}

#[tokio::test]
async fn a_closed_school_is_dropped_database_first_and_each_twice() {
    on_every_server(async |server| {
        let school = closed(&server, "leaving").await;
        assert!(matches!(drop_login(&server.pool, &school.objects).await, Err(Error::DatabaseExists { .. })));
        for _ in 0..2 {
            drop_database(&server.pool, &school.objects).await.unwrap();
            assert_eq!(server.observe(&school).await.database, ObservedDatabase::Absent);
        }
        for _ in 0..2 {
            drop_login(&server.pool, &school.objects).await.unwrap();
            assert_eq!(server.observe(&school).await.login, ObservedLogin::Absent);
        }
        assert_eq!(server.query::<i64>(ADVISORY_LOCKS).await, 0);
    })
    .await;
}

#[tokio::test]
async fn an_open_database_is_not_dropped() {
    on_every_server(async |server| {
        let school = server.school("staying").await;
        let before = server.catalogs().await;
        assert!(matches!(drop_database(&server.pool, &school.objects).await, Err(Error::NotClosed { .. })));
        assert_eq!(server.catalogs().await, before);
        server.log_in(&school, school.database()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_session_of_the_migrator_does_not_hold_up_a_drop() {
    on_every_server(async |server| {
        let school = closed(&server, "busy").await;
        let _session = server.log_in_as_migrator(school.database()).await.unwrap();
        drop_database(&server.pool, &school.objects).await.unwrap();
        assert_eq!(server.observe(&school).await.database, ObservedDatabase::Absent);
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_drop_is_seen_can_only_be_repeated_and_then_succeeds() {
    on_every_server(async |server| {
        let school = closed(&server, "half-gone").await;
        server.as_superuser(&format!("UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{}'", school.database())).await;
        assert_eq!(server.observe(&school).await.database, ObservedDatabase::Broken);
        assert!(matches!(access::open(&server.pool, &school.objects, LIMIT).await, Err(Error::Interrupted { .. })));
        assert!(matches!(access::close(&server.pool, &school.objects).await, Err(Error::Interrupted { .. })));
        drop_database(&server.pool, &school.objects).await.unwrap();
        assert_eq!(server.observe(&school).await.database, ObservedDatabase::Absent);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_role_of_the_logins_name_is_not_dropped() {
    on_every_server(async |server| {
        let school = School::named("never-was");
        server.as_admin(&format!("CREATE ROLE {}", school.login())).await;
        assert!(matches!(drop_login(&server.pool, &school.objects).await, Err(Error::NotOurs { .. })));
        assert_eq!(server.observe(&school).await.login, ObservedLogin::Foreign);
    })
    .await;
}

#[tokio::test]
async fn whether_something_is_left_is_said_only_after_a_claim_that_is_under_way() {
    on_every_server(async |server| {
        let school = School::named("landing");
        assert!(nothing_left(&server.pool, &school.objects).await.unwrap());
        // Somebody else's things of these names are nothing of ours.
        server.as_admin(&format!("CREATE ROLE {login}; COMMENT ON ROLE {login} IS 'mine'", login = school.login())).await;
        assert!(nothing_left(&server.pool, &school.objects).await.unwrap());
        server.as_admin(&format!("DROP ROLE {}", school.login())).await;

        // What a claim holds from its first message on, and what its second one makes.
        let mut claim = server.superuser("postgres").await;
        let lock = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('dailycare {}', 0))", school.database());
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut claim).await.unwrap();
        let comment = format!(
            r#"{{"tenant":"{}","school":"{}","cluster":"{}","password":""}}"#,
            school.objects.tenant, school.uid.0, school.objects.cluster.0
        );
        let role = format!("CREATE ROLE {login}; COMMENT ON ROLE {login} IS '{comment}'", login = school.login());
        sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut claim).await.unwrap();
        let land = async {
            let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            until("the claim is waited for", async || server.query::<i64>(waiting).await == 1).await;
            sqlx::raw_sql("COMMIT").execute(&mut claim).await.unwrap();
        };
        let (left, ()) = tokio::join!(nothing_left(&server.pool, &school.objects), land);
        assert!(!left.unwrap(), "the claim landed after the look");
        assert_eq!(server.query::<i64>(ADVISORY_LOCKS).await, 0);
    })
    .await;
}
