//! The platform's audit by months: rows from before it was, and who makes partitions.

use postgres::schema::Migrations;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::fixtures::{Admin, DATABASE, EVERYWHERE, Master, execute};

/// The file that makes the table one of months.
const PARTITIONED: u32 = 8;

/// Rows of this month, of an earlier one, and of a year that gets no partition.
const ROWS: &str = "
    INSERT INTO registry.access_audit (tenant_id, user_id, action, resource, ip_address, occurred_at, success, reason)
    SELECT gen_random_uuid(), gen_random_uuid(), 'auth:login', '/' || n, '192.0.2.1', at, n = 1, 'because'
    FROM (VALUES (1, now()), (2, now() - interval '3 months'), (3, now() - interval '9 years')) AS row (n, at)";

/// All that the rows held before, in one text.
const HELD: &str = "
    SELECT string_agg((id, tenant_id, user_id, action, resource, ip_address, occurred_at, success, reason)::text, '|' ORDER BY resource)
    FROM registry.access_audit";

async fn held(conn: &mut PgConnection) -> String {
    sqlx::query_scalar(HELD).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn rows_from_before_the_months_survive_each_in_its_own() {
    for (version, admin) in EVERYWHERE {
        let master = Master::start(version, admin).await;
        let before = tempfile::tempdir().unwrap();
        let all = Migrations::master().unwrap();
        for migration in all.all().iter().take_while(|migration| migration.version < PARTITIONED) {
            std::fs::write(before.path().join(migration.file()), &migration.sql).unwrap();
        }
        let older = Migrations::from_dir(all.kind(), before.path()).unwrap();
        let pool = provisioning::master::bootstrap(&master.target(), &older).await.unwrap();
        sqlx::raw_sql(ROWS).execute(&pool).await.unwrap();
        let before_migration = held(&mut pool.acquire().await.unwrap()).await;
        pool.close().await;

        let pool = master.bootstrap().await;
        let mut conn = pool.acquire().await.unwrap();
        assert_eq!(held(&mut conn).await, before_migration, "{version:?} {admin:?}");
        let places =
            "SELECT right(tableoid::regclass::text, 8) AS place, to_char(occurred_at AT TIME ZONE 'UTC', '\"y\"YYYY\"m\"MM') AS month
            FROM registry.access_audit ORDER BY occurred_at";
        let places = sqlx::query(places).fetch_all(&mut *conn).await.unwrap();
        let places: Vec<(String, String)> = places.iter().map(|row| (row.get("place"), row.get("month"))).collect();
        assert!(places[0].0.ends_with("default") && places[1..].iter().all(|(place, month)| place == month), "{places:?}");
    }
}

#[tokio::test]
async fn rows_that_came_without_a_partition_move_into_their_month_when_the_api_asks() {
    for version in testing::Version::ALL {
        let master = Master::start(version, Admin::Plain).await;
        master.bootstrap().await.close().await;
        let mut superuser = master.superuser(DATABASE).await;
        execute(&mut superuser, "CREATE ROLE api LOGIN PASSWORD 'x' IN ROLE dailycare_api").await;
        execute(
            &mut superuser,
            "INSERT INTO registry.access_audit (action, resource, occurred_at, success) VALUES ('a', '/', now() - interval '2 months', true)",
        )
        .await;
        let waiting = "SELECT count(*) FROM registry.access_audit_default";
        assert_eq!(sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut superuser).await.unwrap(), 1);
        let mut api = master.login("api", "x", DATABASE).await.unwrap();
        let made = "SELECT registry.ensure_access_audit_partitions(1)";
        assert_eq!(sqlx::query_scalar::<_, i32>(made).fetch_one(&mut api).await.unwrap(), 1);
        assert_eq!(sqlx::query_scalar::<_, i32>(made).fetch_one(&mut api).await.unwrap(), 0);
        assert_eq!(sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut superuser).await.unwrap(), 0);
        assert_eq!(sqlx::query_scalar::<_, i64>("SELECT count(*) FROM registry.access_audit").fetch_one(&mut api).await.unwrap(), 1);
        api.close().await.unwrap();
    }
}
