//! Records are written with what they record, are never altered, and are found.

use std::time::Duration;

use chrono::{DurationRound as _, TimeDelta};
use sqlx::{AssertSqlSafe, Connection as _};
use tenancy::audit::{Audit, Filter, Record, Settings};
use testing::Version;
use uuid::Uuid;

use super::fixture::{World, leave, now, record, records, scalar};

#[tokio::test]
async fn a_schools_own_login_can_add_records_and_never_alter_them() {
    for version in Version::ALL {
        let world = World::start(version, 1).await;
        let school = &world.schools[0];
        let running = world.running(Settings::default());
        running.audit.record(record(school.tenant, 1));
        assert_eq!(running.stop().await, 0);
        let target = world.registry_cache.cached(school.tenant).unwrap().target.clone().unwrap();
        let mut conn = world.pools.connection(&target).await.unwrap();
        let month: String = scalar(&mut conn, "SELECT tableoid::regclass::text FROM app.access_audit").await;
        for table in ["app.access_audit", "app.access_audit_default", &month] {
            for sql in [
                format!("UPDATE {table} SET success = false"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
                format!("DROP TABLE {table}"),
                format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            ] {
                let refused = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(&mut *conn).await.unwrap_err();
                assert_eq!(refused.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(), Some("42501"), "{sql}");
            }
        }
        let past_the_parent = format!("INSERT INTO {month} SELECT * FROM app.access_audit");
        assert!(sqlx::raw_sql(AssertSqlSafe(past_the_parent)).execute(&mut *conn).await.is_err());
        drop(conn);
        assert_eq!(world.written(school).await.len(), 1);
    }
}

#[tokio::test]
async fn a_write_and_its_record_stand_together_or_not_at_all() {
    for version in Version::ALL {
        let world = World::start(version, 1).await;
        let school = &world.schools[0];
        let target = world.registry_cache.cached(school.tenant).unwrap().target.clone().unwrap();
        let mut conn = world.pools.connection(&target).await.unwrap();
        let left = records(school.tenant, 2);
        let mut undone = conn.begin().await.unwrap();
        Audit::write(&mut undone, &left[0]).await.unwrap();
        undone.rollback().await.unwrap();
        let mut done = conn.begin().await.unwrap();
        Audit::write(&mut done, &Record { resource: format!("{}?token=canary", left[1].resource), ..left[1].clone() }).await.unwrap();
        done.commit().await.unwrap();
        assert_eq!(Audit::list(&mut conn, &Filter::default(), None, 10).await.unwrap(), left[1..]);
    }
}

#[tokio::test]
async fn records_are_found_by_user_action_resource_outcome_and_time() {
    let world = World::start(Version::V15, 1).await;
    let tenant = world.schools[0].tenant;
    let mut conn = world.superuser(&world.schools[0].database).await;
    let start = now();
    let at = |minutes| start - TimeDelta::minutes(minutes);
    let base = || record(tenant, 1);
    let all = [
        Record { at: at(1), ..base() },
        Record { at: at(2), user: Some(Uuid::from_u128(8)), ..base() },
        Record { at: at(3), action: "children.change".into(), success: false, ..base() },
        Record { at: at(4), action: "children_100%.read".into(), resource: "/api/v1/children/1/meals".into(), ..base() },
        Record { at: at(5), resource: "/api/v1/classes".into(), address: None, ..base() },
    ];
    for record in &all {
        Audit::write(&mut conn, record).await.unwrap();
    }
    let any = Filter::default;
    for (filter, expected) in [
        (any(), vec![0, 1, 2, 3, 4]),
        (Filter { user: Some(Uuid::from_u128(8)), ..any() }, vec![1]),
        (Filter { action: Some("children.".into()), ..any() }, vec![0, 1, 2, 4]),
        (Filter { action: Some("children_".into()), ..any() }, vec![3]),
        (Filter { action: Some("%".into()), ..any() }, vec![]),
        (Filter { resource: Some("/api/v1/children/1".into()), ..any() }, vec![0, 1, 2, 3]),
        (Filter { resource: Some("/api/v1/children/1/".into()), ..any() }, vec![3]),
        (Filter { success: Some(false), ..any() }, vec![2]),
        (Filter { from: Some(at(3)), ..any() }, vec![0, 1, 2]),
        (Filter { until: Some(at(3)), ..any() }, vec![3, 4]),
        (Filter { from: Some(at(4)), until: Some(at(1)), success: Some(true), ..any() }, vec![1, 3]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|n: usize| all[n].clone()).collect();
        assert_eq!(Audit::list(&mut conn, &filter, None, 10).await.unwrap(), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn pages_have_neither_gaps_nor_repeats_while_records_are_added() {
    for version in Version::ALL {
        let world = World::start(version, 1).await;
        let school = &world.schools[0];
        let mut conn = world.superuser(&school.database).await;
        let running = world.running(Settings { linger: Duration::from_millis(1), ..Settings::default() });
        // Three share each moment, so that pages end between equals; some months have no partition.
        let before: Vec<_> = (0..90_usize)
            .map(|n| Record { at: now() - TimeDelta::days((n / 3).try_into().unwrap()), ..record(school.tenant, n) })
            .map(|record| Record { at: record.at.duration_trunc(TimeDelta::days(1)).unwrap(), ..record })
            .collect();
        leave(&running.audit, &before);
        world.until_written(school, 90).await;
        let (mut read, mut after, mut added) = (Vec::new(), None, 90);
        loop {
            let page = Audit::list(&mut conn, &Filter::default(), after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.at, last.id));
            read.extend(page);
            added += 5;
            leave(&running.audit, &records(school.tenant, 5));
            world.until_written(school, added).await;
        }
        let mut expected = before;
        expected.sort_by_key(|record| std::cmp::Reverse((record.at, record.id)));
        assert_eq!(read, expected);
        assert_eq!(running.stop().await, 0);
    }
}
