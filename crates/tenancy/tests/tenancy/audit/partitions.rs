//! Partitions are made in time, and nothing waits for them.

use std::time::Duration;

use tenancy::audit::Settings;
use testing::Version;

use super::fixture::{IN_DEFAULT, PARTITIONS, PATIENCE, World, record, scalar};

#[tokio::test]
async fn a_schools_first_batch_makes_this_months_partition_and_the_next_ones() {
    for version in Version::ALL {
        let world = World::start(version, 1).await;
        let school = &world.schools[0];
        let mut conn = world.superuser(&school.database).await;
        sqlx::raw_sql("SET timezone = 'UTC'").execute(&mut conn).await.unwrap();
        assert_eq!(scalar::<i64>(&mut conn, PARTITIONS).await, 0);
        let running = world.running(Settings::default());
        for n in 1..=3 {
            running.audit.record(record(school.tenant, n));
            world.until_written(school, n).await;
        }
        assert_eq!(running.stop().await, 0);
        assert_eq!((scalar::<i64>(&mut conn, PARTITIONS).await, scalar::<i64>(&mut conn, IN_DEFAULT).await), (2, 0));
        assert_eq!(world.master.statements("SELECT app.ensure_access_audit_partitions"), 1, "asked once a day");
    }
}

#[tokio::test]
async fn the_platforms_partitions_are_kept_although_nothing_is_written_to_them() {
    let world = World::start(Version::V15, 1).await;
    let mut conn = world.superuser("dailycare_master").await;
    // As at the beginning of the month after the next.
    let months = "
        DO $$ DECLARE month regclass; BEGIN
            FOR month IN SELECT inhrelid::regclass FROM pg_inherits
                WHERE inhparent = 'registry.access_audit'::regclass AND inhrelid <> 'registry.access_audit_default'::regclass
            LOOP EXECUTE format('DROP TABLE %s', month); END LOOP;
        END $$";
    sqlx::raw_sql(months).execute(&mut conn).await.unwrap();
    let running = world.running(Settings::default());
    let kept = async {
        while scalar::<i64>(&mut conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'registry.access_audit'::regclass").await != 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.unwrap_or_else(|_| panic!("nobody made this month's and the next one's"));
    assert_eq!(running.stop().await, 0);
}

#[tokio::test]
async fn evidence_does_not_wait_for_partitions_that_cannot_be_made_now() {
    let world = World::start(Version::V18, 1).await;
    let school = &world.schools[0];
    let mut lock_owner = world.superuser(&school.database).await;
    sqlx::raw_sql("SELECT pg_advisory_lock('app.access_audit'::regclass::oid::bigint)").execute(&mut lock_owner).await.unwrap();
    let running = world.running(Settings::default());
    running.audit.record(record(school.tenant, 1));
    world.until_written(school, 1).await;
    assert_eq!((scalar::<i64>(&mut lock_owner, PARTITIONS).await, scalar::<i64>(&mut lock_owner, IN_DEFAULT).await), (0, 1));
    assert_eq!(running.stop().await, 0);
}
