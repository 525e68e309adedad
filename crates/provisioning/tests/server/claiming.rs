//! Claiming staged databases, and what the catalogs say afterwards.

use std::borrow::Cow;
use std::time::Duration;

use domain::school::observed::{CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedLogin};
use domain::server::PasswordForm;
use futures::future::join_all;
use provisioning::server::catalog::{Passwords, observe};
use provisioning::server::census::{self, Census};
use provisioning::server::claim::Claimed;
use provisioning::server::password::SentPassword;
use provisioning::server::template;
use secrecy::ExposeSecret as _;
use sqlx::AssertSqlSafe;
use sqlx::error::DatabaseError;

use crate::fixtures::{ADVISORY_LOCKS, ANOTHER_CLUSTER, Admin, CLUSTER, School, everything_about, on_every_server};

const NOTHING: CatalogFacts =
    CatalogFacts { database: ObservedDatabase::Absent, login: ObservedLogin::Absent, spare: false, template: true };

#[tokio::test]
async fn a_claimed_school_is_open_owned_and_known_by_its_password() {
    on_every_server(async |server| {
        let school = School::named("northside");
        assert_eq!(server.observe(&school).await, NOTHING);
        assert_eq!(server.claim(&school).await, Claimed::NoSpare);
        server.stage().await;
        assert_eq!(server.observe(&school).await, CatalogFacts { spare: true, ..NOTHING });
        assert_eq!(server.claim(&school).await, Claimed::Now);
        let claimed =
            CatalogFacts { database: server.whole(DatabaseAccess::Open), login: ObservedLogin::Matching, spare: false, template: true };
        assert_eq!(server.observe(&school).await, claimed);
        server.stage().await;
        let before = server.catalogs().await;
        assert_eq!(server.claim(&school).await, Claimed::AlreadyThere);
        assert_eq!(server.catalogs().await, before);
        server.log_in(&school, school.database()).await.unwrap();
        let log = server.log();
        assert!(log.contains("SCRAM-SHA-256$") && !log.contains(school.password.expose_secret()));
    })
    .await;
}

#[tokio::test]
async fn many_schools_are_observed_at_once_and_in_order() {
    on_every_server(async |server| {
        let schools = [server.school("one").await, School::named("two"), server.school("three").await];
        let expected: Vec<_> = schools.iter().map(School::expected).collect();
        let mut conn = server.pool.acquire().await.unwrap();
        let observed = observe(&mut conn, &server.migrations, Passwords::Hidden, &expected).await.unwrap();
        let open = server.whole(DatabaseAccess::Open);
        assert_eq!(observed.iter().map(|one| one.facts.database).collect::<Vec<_>>(), [open, ObservedDatabase::Absent, open]);
        assert!(observe(&mut conn, &server.migrations, Passwords::Hidden, &[]).await.unwrap().is_empty());
        let counted = census::take(&mut conn, CLUSTER).await.unwrap();
        let names: Vec<_> = counted.databases.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [schools[0].database(), schools[2].database()]);
        assert_eq!((counted.logins.len(), counted.spares), (2, 0));
        assert_eq!(census::take(&mut conn, ANOTHER_CLUSTER).await.unwrap(), Census::default());
    })
    .await;
}

#[tokio::test]
async fn eight_claims_at_once_over_three_spares_make_three_schools() {
    on_every_server(async |server| {
        for _ in 0..3 {
            server.stage().await;
        }
        let schools: Vec<_> = (0..8).map(|n| School::named(&format!("school-{n}"))).collect();
        let outcomes = join_all(schools.iter().map(|school| server.claim(school))).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Claimed::Now).count(), 3, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Claimed::NoSpare).count(), 5, "{outcomes:?}");
        for (school, outcome) in schools.iter().zip(outcomes) {
            let claimed =
                CatalogFacts { database: server.whole(DatabaseAccess::Open), login: ObservedLogin::Matching, spare: false, template: true };
            assert_eq!(server.observe(school).await, if outcome == Claimed::Now { claimed } else { NOTHING });
        }
        assert_eq!(server.spares().await, 0);
    })
    .await;
}

#[tokio::test]
async fn eight_claims_of_one_name_make_one_school() {
    on_every_server(async |server| {
        for _ in 0..3 {
            server.stage().await;
        }
        let school = School::named("wanted");
        let outcomes = join_all((0..8).map(|_| server.claim(&school))).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Claimed::Now).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Claimed::AlreadyThere).count(), 7, "{outcomes:?}");
        assert_eq!(server.spares().await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_database_or_role_of_the_wanted_name_is_seen_and_not_touched() {
    on_every_server(async |server| {
        server.stage().await;
        let (one, two) = (School::named("database-taken"), School::named("role-taken"));
        server.as_superuser(&format!("CREATE DATABASE {}", one.database())).await;
        server.as_superuser(&format!("COMMENT ON DATABASE {} IS '{{\"tenant\": 1}}'", one.database())).await;
        server.as_superuser(&format!("CREATE ROLE {} LOGIN", two.login())).await;
        let before = server.catalogs().await;
        for school in [&one, &two] {
            assert_eq!(server.claim(school).await, Claimed::AlreadyThere);
        }
        assert_eq!(
            server.observe(&one).await,
            CatalogFacts { database: ObservedDatabase::Foreign { entered: false }, spare: true, ..NOTHING }
        );
        assert_eq!(server.observe(&two).await, CatalogFacts { login: ObservedLogin::Foreign, spare: true, ..NOTHING });
        assert_eq!(server.catalogs().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_is_cancelled_leaves_neither_half_a_school_nor_a_lock() {
    on_every_server(async |server| {
        server.stage().await;
        let school = School::named("patient");
        // A role of the wanted name, uncommitted, makes the claim wait in its second message.
        let mut other = server.superuser("postgres").await;
        let role = format!("BEGIN; CREATE ROLE {}", school.login());
        sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut other).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(300), server.claim(&school)).await.is_err());
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        // Either the cancelled claim had gone too far to stop, or it never happened.
        let outcome = server.claim(&school).await;
        assert!(matches!(outcome, Claimed::Now | Claimed::AlreadyThere), "{outcome:?}");
        assert_eq!(
            server.observe(&school).await,
            CatalogFacts { database: server.whole(DatabaseAccess::Open), login: ObservedLogin::Matching, spare: false, template: true }
        );
        assert_eq!(server.query::<i64>(ADVISORY_LOCKS).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_fails_tells_neither_password_nor_verifier_and_leaves_the_spare() {
    on_every_server(async |server| {
        server.stage().await;
        let school = School::named("secretive");
        match server.kind {
            Admin::Plain => server.as_superuser("ALTER ROLE dailycare_admin NOCREATEROLE").await,
            Admin::Superuser => server.as_superuser("ALTER ROLE tenant_app RENAME TO elsewhere").await,
        }
        let error = server.try_claim(&school, &SentPassword::new(&school.password, PasswordForm::Verifier)).await.unwrap_err();
        let text = everything_about(&error);
        assert!(text.contains(if server.kind == Admin::Plain { "42501" } else { "42704" }), "{text}");
        assert!(!text.contains("SCRAM"), "{text}");
        assert!(!text.contains(school.password.expose_secret()), "{text}");
        assert_eq!(server.observe(&school).await, CatalogFacts { spare: true, ..NOTHING });
    })
    .await;
}

#[tokio::test]
async fn a_login_opens_its_own_database_and_no_other() {
    on_every_server(async |server| {
        let mut schools = Vec::new();
        for code in ["ana", "bia", "caio", "davi"] {
            schools.push(server.school(code).await);
        }
        let spare = server.stage().await;
        let template = template::name(server.digest());
        for school in &schools {
            let others = schools.iter().map(School::database).filter(|name| *name != school.database());
            for database in others.chain(["postgres", "template1", &spare, &template]) {
                let refused = server.log_in(school, database).await.unwrap_err();
                let code = refused.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned);
                // Nobody but a superuser is within a spare's connection limit of 0.
                let expected = if database == spare { "53300" } else { "42501" };
                assert_eq!(code.as_deref(), Some(expected), "{} in {database}: {refused}", school.login());
            }
            let mut own = server.log_in(school, school.database()).await.unwrap();
            sqlx::raw_sql("INSERT INTO app.notes VALUES ('hello')").execute(&mut own).await.unwrap();
            assert!(sqlx::raw_sql("SET ROLE tenant_owner").execute(&mut own).await.is_err());
        }
    })
    .await;
}
