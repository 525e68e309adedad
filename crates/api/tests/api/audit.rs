//! The access audit: that evidence is complete, in its own school's database, bounded while it waits, and never altered.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use domain::names::{ServerName, TenantId};
use futures::future::join_all;
use postgres::schema::Migrations;
use provisioning::master::tenants::InactiveState;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tenancy::audit::{Audit, Filter, Limits, Record, Settings, Writer};
use tenancy::pools::{self, Pools};
use tenancy::registry_cache::{self, RegistryCache};
use testing::Version;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::registry::Master;

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);
/// For what must happen, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Schools with databases, and what the API keeps of them.
struct World {
    master: Master,
    schools: Vec<School>,
    pools: Arc<Pools>,
    registry_cache: Arc<RegistryCache>,
}

#[derive(Clone)]
struct School {
    tenant: TenantId,
    database: String,
}

impl World {
    async fn start(version: Version, schools: usize) -> Self {
        Self::with(version, schools, async |_| {}).await
    }

    /// `also` changes the registry before the API reads it.
    async fn with(version: Version, schools: usize, also: impl AsyncFnOnce(&Master)) -> Self {
        let master = Master::start(version).await;
        for sql in ["CREATE ROLE tenant_owner", "CREATE ROLE tenant_app", "CREATE DATABASE school OWNER tenant_owner"] {
            master.superuser(sql).await;
        }
        migrate(&master).await;
        let mut made = Vec::new();
        for n in 1..=schools {
            let (number, code) = (n.try_into().unwrap(), format!("escola-{n}"));
            let tenant = master.school(number, &code).await;
            let route = master.publication(number, &code).route;
            let (database, login) = (route.database.to_string(), route.login);
            master.superuser(&format!("CREATE ROLE {login} LOGIN PASSWORD 'canary-password' IN ROLE tenant_app")).await;
            master.superuser(&format!("CREATE DATABASE {database} TEMPLATE school OWNER tenant_owner")).await;
            made.push(School { tenant, database });
        }
        also(&master).await;
        let registry_cache = RegistryCache::load(master.api(), master.opening.clone(), registry_cache::Settings::default()).await.unwrap();
        let limits = pools::Limits { connect_timeout: NEVER, ..pools::Limits::default() };
        Self { master, schools: made, pools: Pools::new(limits), registry_cache }
    }

    /// An audit that nobody writes yet.
    fn audit(&self, settings: Settings) -> (Audit, Writer) {
        Audit::start(Arc::clone(&self.pools), Arc::clone(&self.registry_cache), self.master.api(), settings)
    }

    fn running(&self, settings: Settings) -> Running {
        let (audit, writer) = self.audit(settings);
        Running::start(audit, writer)
    }

    async fn superuser(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.master.server.superuser_url(database)).await.unwrap()
    }

    /// Runs SQL in a school's database as the server's superuser.
    async fn inside(&self, school: &School, sql: &'static str) {
        let mut conn = self.superuser(&school.database).await;
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Waits for the server to have logged this so many times.
    async fn until_logged(&self, text: &str, times: usize) {
        let wait = async {
            while std::fs::read_to_string(self.master.server.log_path()).unwrap().matches(text).count() < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never logged: {text}"));
    }

    /// All of a school's records in the order in which they were written.
    async fn written(&self, school: &School) -> Vec<Uuid> {
        let mut conn = self.superuser(&school.database).await;
        sqlx::query_scalar("SELECT id FROM app.access_audit ORDER BY tableoid, ctid").fetch_all(&mut conn).await.unwrap()
    }

    async fn until_written(&self, school: &School, records: usize) {
        let mut conn = self.superuser(&school.database).await;
        let count = "SELECT count(*) FROM app.access_audit";
        let wait = async {
            while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut conn).await.unwrap() != i64::try_from(records).unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{records} records were never written"));
    }

    /// The platform's own records.
    async fn platform(&self, tenant: Option<TenantId>) -> Vec<Record> {
        let mut conn = self.master.api().acquire().await.unwrap();
        Audit::list_platform(&mut conn, tenant, &Filter::default(), None, 10_000).await.unwrap()
    }

    /// Nobody can enter the school's database any more, and who is in it is out.
    async fn close(&self, school: &School) {
        let School { database, .. } = school;
        self.master.superuser(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).await;
        self.master.superuser(&format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")).await;
    }

    async fn open(&self, school: &School) {
        self.master.superuser(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", school.database)).await;
    }
}

async fn migrate(master: &Master) {
    let mut conn = PgConnection::connect(&master.server.superuser_url("school")).await.unwrap();
    sqlx::raw_sql("SET ROLE tenant_owner").execute(&mut conn).await.unwrap();
    let migrations = Migrations::tenant().unwrap();
    for migration in migrations.all() {
        migrations.apply(&mut conn, migration, None).await.unwrap();
    }
    conn.close().await.unwrap();
}

/// An audit that is written, until it is stopped.
struct Running {
    audit: Audit,
    stop: CancellationToken,
    writer: JoinHandle<()>,
}

impl Running {
    fn start(audit: Audit, writer: Writer) -> Self {
        let stop = CancellationToken::new();
        let writer = tokio::spawn(writer.run(stop.clone()));
        Self { audit, stop, writer }
    }

    /// A graceful stop; returns how many records were lost since the start.
    async fn stop(self) -> u64 {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.writer).await.unwrap_or_else(|_| panic!("the writer never ended")).unwrap();
        assert_eq!(self.audit.waiting(), 0);
        self.audit.dropped()
    }

    async fn until_waiting(&self, records: usize) {
        let wait = async {
            while self.audit.waiting() != records {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("there never were {records} records waiting"));
    }
}

/// As precise as the database is.
fn now() -> DateTime<Utc> {
    Utc::now().duration_trunc(TimeDelta::microseconds(1)).unwrap()
}

fn record(tenant: impl Into<Option<TenantId>>, n: usize) -> Record {
    Record {
        id: Uuid::now_v7(),
        tenant: tenant.into(),
        user: Some(Uuid::from_u128(7)),
        action: "children.read".into(),
        resource: format!("/api/v1/children/{n}"),
        address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        at: now(),
        success: true,
        reason: None,
        request_id: Some(format!("request-{n}").into()),
    }
}

fn records(tenant: TenantId, count: usize) -> Vec<Record> {
    (0..count).map(|n| record(tenant, n)).collect()
}

fn ids(records: &[Record]) -> Vec<Uuid> {
    records.iter().map(|record| record.id).collect()
}

fn leave(audit: &Audit, records: &[Record]) {
    for record in records {
        audit.record(record.clone());
    }
}

async fn scalar<T>(conn: &mut PgConnection, sql: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[tokio::test]
async fn batches_arrive_complete_and_in_order_in_their_own_schools_database() {
    for version in Version::ALL {
        let world = World::start(version, 3).await;
        let running = world.running(Settings::default());
        let left: Vec<_> = world.schools.iter().map(|school| records(school.tenant, 1_200)).collect();
        for n in 0..1_200 {
            for records in &left {
                running.audit.record(records[n].clone());
            }
        }
        assert_eq!(running.stop().await, 0);
        for (school, left) in world.schools.iter().zip(&left) {
            assert_eq!(world.written(school).await, ids(left));
            let mut conn = world.superuser(&school.database).await;
            let mut listed = Audit::list(&mut conn, &Filter::default(), None, 10_000).await.unwrap();
            listed.sort_by_key(|record| record.id);
            assert_eq!(&listed, left);
        }
    }
}

#[tokio::test]
async fn what_belongs_to_no_school_that_serves_goes_to_the_platform_with_the_tenant_it_named() {
    for version in Version::ALL {
        let world = World::with(version, 2, async |master| master.withdraw(2, InactiveState::Suspended).await).await;
        let (serving, suspended) = (world.schools[0].tenant, world.schools[1].tenant);
        let unknown = TenantId(Uuid::from_u128(99));
        let running = world.running(Settings::default());
        let nobody = Record { user: None, address: Some("2001:db8::1".parse().unwrap()), success: false, ..record(None, 1) };
        let mut left = vec![nobody, record(unknown, 2), record(suspended, 3)];
        leave(&running.audit, &left);
        running.audit.record(record(serving, 4));
        assert_eq!(running.stop().await, 0);
        left.reverse();
        assert_eq!(world.platform(None).await, left);
        assert_eq!(world.platform(Some(suspended)).await, left[..1]);
        assert_eq!((world.written(&world.schools[0]).await.len(), world.written(&world.schools[1]).await.len()), (1, 0));
    }
}

#[tokio::test]
async fn a_school_whose_schema_is_older_than_records_leaves_them_to_the_platform() {
    let mut older = None;
    let world = World::with(Version::V18, 1, async |master| {
        older = Some(master.reserve(100, "antiga").await);
        let mut publication = master.publication(100, "antiga");
        publication.schema_version = 20;
        master.publish(&publication).await;
    })
    .await;
    let running = world.running(Settings::default());
    let left = record(older.unwrap(), 1);
    running.audit.record(left.clone());
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.platform(older).await, [left]);
}

#[tokio::test]
async fn a_school_that_stops_serving_while_its_records_wait_leaves_them_to_the_platform() {
    let world = World::start(Version::V18, 1).await;
    let tenant = world.schools[0].tenant;
    let (audit, writer) = world.audit(Settings::default());
    let mut left = records(tenant, 3);
    leave(&audit, &left);
    world.master.withdraw(1, InactiveState::Suspended).await;
    world.registry_cache.refetch(tenant).await.unwrap();
    assert_eq!(Running::start(audit, writer).stop().await, 0);
    left.reverse();
    assert_eq!(world.platform(Some(tenant)).await, left);
}

/// The first statement is slower than the writer's patience, and commits all the same.
const SLOW_ONCE: &str = "
    CREATE SEQUENCE public.statements;
    CREATE FUNCTION public.slow_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF nextval('public.statements') = 1 THEN
            PERFORM pg_sleep(3);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER slow_once AFTER INSERT ON app.access_audit FOR EACH STATEMENT EXECUTE FUNCTION public.slow_once()";

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_written_again_and_stands_once() {
    for version in Version::ALL {
        let world = World::start(version, 1).await;
        let school = &world.schools[0];
        let mut conn = world.superuser(&school.database).await;
        sqlx::raw_sql(SLOW_ONCE).execute(&mut conn).await.unwrap();
        let running = world.running(Settings { timeout: Duration::from_secs(1), drain: PATIENCE, ..Settings::default() });
        let left = records(school.tenant, 20);
        leave(&running.audit, &left);
        running.until_waiting(0).await;
        assert!(scalar::<i64>(&mut conn, "SELECT last_value FROM public.statements").await > 1, "nothing was repeated");
        // A whole batch that is left twice changes nothing either.
        leave(&running.audit, &left);
        assert_eq!(running.stop().await, 0);
        assert_eq!(world.written(school).await, ids(&left));
    }
}

#[tokio::test]
async fn a_school_that_cannot_be_entered_holds_up_no_other_and_gets_its_records_when_it_can() {
    for version in Version::ALL {
        let world = World::start(version, 2).await;
        let [closed, other] = &world.schools[..] else { unreachable!() };
        let running = world.running(Settings { batch: 50, ..Settings::default() });
        let left = records(closed.tenant, 120);
        leave(&running.audit, &left[..10]);
        world.until_written(closed, 10).await;
        world.close(closed).await;
        leave(&running.audit, &left[10..]);
        leave(&running.audit, &records(other.tenant, 300));
        world.until_written(other, 300).await;
        running.until_waiting(110).await;
        world.open(closed).await;
        world.until_written(closed, 120).await;
        assert_eq!(running.stop().await, 0);
        assert_eq!(world.written(closed).await, ids(&left));
    }
}

#[tokio::test]
async fn a_master_database_that_takes_no_records_holds_up_no_school_and_gets_them_later() {
    let world = World::start(Version::V18, 1).await;
    world.master.superuser("REVOKE INSERT ON registry.access_audit FROM dailycare_api").await;
    let running = world.running(Settings::default());
    let refusal = Record { success: false, ..record(None, 1) };
    running.audit.record(refusal.clone());
    world.until_logged("permission denied for table access_audit", 1).await;
    running.audit.record(record(world.schools[0].tenant, 2));
    world.until_written(&world.schools[0], 1).await;
    world.master.superuser("GRANT INSERT ON registry.access_audit TO dailycare_api").await;
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.platform(None).await, [refusal]);
}

#[tokio::test]
async fn many_schools_on_a_server_that_hangs_take_no_writer_from_those_on_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut lost = Vec::new();
    let world = World::with(Version::V18, 1, async |master| {
        for n in 100..120 {
            let code = format!("longe-{n}");
            lost.push(master.reserve(n, &code).await);
            let mut publication = master.publication(n, &code);
            publication.route.server = ServerName::parse("pg-2").unwrap();
            publication.route.endpoint.port = port;
            publication.route.pool.connect_timeout_seconds = 3600;
            master.publish(&publication).await;
        }
    })
    .await;
    let running = world.running(Settings { timeout: NEVER, drain: Duration::ZERO, ..Settings::default() });
    // One failure is how the server becomes doubtful.
    running.audit.record(record(lost[0], 0));
    drop(listener.accept().await.unwrap());
    let hanging = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    running.until_waiting(1).await;
    let school = &world.schools[0];
    running.audit.record(record(school.tenant, 0));
    world.until_written(school, 1).await;
    for &tenant in &lost[1..] {
        running.audit.record(record(tenant, 0));
    }
    for n in 1..=5 {
        leave(&running.audit, &records(school.tenant, 100));
        world.until_written(school, 1 + n * 100).await;
    }
    running.until_waiting(20).await;
    assert_eq!(running.stop().await, 20);
    hanging.abort();
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_is_lost_is_counted_to_the_record() {
    let world = World::start(Version::V18, 2).await;
    let [noisy, quiet] = &world.schools[..] else { unreachable!() };
    world.close(noisy).await;
    let (audit, writer) = world.audit(Settings { capacity: 100, batch: 30, ..Settings::default() });
    let (many, few) = (records(noisy.tenant, 1_000), records(quiet.tenant, 10));
    leave(&audit, &few);
    leave(&audit, &many);
    assert_eq!((audit.waiting(), audit.dropped()), (100, 910));
    world.open(noisy).await;
    assert_eq!(Running::start(audit, writer).stop().await, 910);
    assert_eq!(world.written(quiet).await, ids(&few));
    assert_eq!(world.written(noisy).await, ids(&many[910..]));
}

#[tokio::test]
async fn refusals_of_nobody_are_recorded_within_bounds_and_push_nobody_elses_records_out() {
    let world = World::start(Version::V18, 1).await;
    let limit = |n| std::num::NonZeroU32::new(n).unwrap();
    let refusals = Limits { address: limit(3), nobody: limit(1), user: limit(2) };
    let (audit, writer) = world.audit(Settings { capacity: 100, refusals, ..Settings::default() });
    let staff = record(None, 0);
    audit.record(staff.clone());
    let refused = |user: Option<u128>, address: [u8; 4], n| {
        let (user, address) = (user.map(Uuid::from_u128), Some(IpAddr::from(address)));
        audit.record(Record { user, address, success: false, ..record(None, n) });
    };
    (0..1_000).for_each(|n| refused(None, [192, 0, 2, 9], n));
    assert_eq!(audit.waiting(), 1 + 3, "one address");
    (0..200).for_each(|n| refused(None, [198, 51, 100, n], n.into()));
    assert_eq!(audit.waiting(), 1 + 10, "all addresses");
    (0..100).for_each(|n| refused(Some(1), [192, 0, 2, 1], n));
    (0..100).for_each(|n| refused(Some(2), [192, 0, 2, 1], n));
    assert_eq!((audit.waiting(), audit.dropped()), (1 + 10 + 4, 0), "each user");
    leave(&audit, &records(world.schools[0].tenant, 40));
    (100..200).for_each(|n| refused(Some(n), [192, 0, 2, 1], 0));
    assert_eq!((audit.waiting(), audit.dropped()), (1 + 10 + 4 + 40, 0), "half the queue waits");
    assert_eq!(Running::start(audit, writer).stop().await, 0);
    assert!(world.platform(None).await.contains(&staff));
}

#[tokio::test]
async fn a_graceful_stop_under_the_load_of_twenty_schools_loses_nothing() {
    let world = World::start(Version::V18, 20).await;
    let running = world.running(Settings::default());
    let left = join_all(world.schools.iter().map(|school| {
        let (audit, left) = (running.audit.clone(), records(school.tenant, 400));
        tokio::spawn(async move {
            for part in left.chunks(7) {
                leave(&audit, part);
                tokio::task::yield_now().await;
            }
            left
        })
    }))
    .await;
    let audit = running.audit.clone();
    assert!(audit.waiting() > 0, "there was nothing left to write");
    assert_eq!(running.stop().await, 0);
    for (school, left) in world.schools.iter().zip(left) {
        assert_eq!(world.written(school).await, ids(&left.unwrap()));
    }
    audit.record(record(world.schools[0].tenant, 0));
    assert_eq!((audit.waiting(), audit.dropped()), (0, 1));
}

#[tokio::test]
async fn a_stop_writes_what_failed_before_once_more_and_counts_what_fails_again() {
    let world = World::start(Version::V18, 2).await;
    let [denied, allowed] = &world.schools[..] else { unreachable!() };
    for school in &world.schools {
        world.inside(school, "REVOKE INSERT ON app.access_audit FROM tenant_app").await;
    }
    // Less than who was denied waits before trying again.
    let running = world.running(Settings { drain: Duration::from_secs(2), ..Settings::default() });
    let left = records(allowed.tenant, 5);
    leave(&running.audit, &records(denied.tenant, 5));
    leave(&running.audit, &left);
    world.until_logged("permission denied for table access_audit", 2).await;
    running.until_waiting(10).await;
    world.inside(allowed, "GRANT INSERT ON app.access_audit TO tenant_app").await;
    assert_eq!(running.stop().await, 5);
    assert_eq!(world.written(allowed).await, ids(&left));
}

#[tokio::test]
async fn a_record_that_the_database_refuses_costs_no_other() {
    let world = World::start(Version::V18, 1).await;
    let school = &world.schools[0];
    world.inside(school, "ALTER TABLE app.access_audit ADD CHECK (action <> 'poison')").await;
    let running = world.running(Settings::default());
    let left = records(school.tenant, 9);
    leave(&running.audit, &left[..4]);
    running.audit.record(Record { action: "poison".into(), ..record(school.tenant, 0) });
    leave(&running.audit, &left[4..]);
    assert_eq!(running.stop().await, 1);
    assert_eq!(world.written(school).await, ids(&left));
}

/// Where a month's records are, if it has a partition.
const PARTITIONS: &str = "
    SELECT count(*) FROM generate_series(date_trunc('month', now()), now() + interval '1 month', '1 month') AS month
    WHERE to_regclass(format('app.access_audit_%s', to_char(month, '\"y\"YYYY\"m\"MM'))) IS NOT NULL";
const IN_DEFAULT: &str = "SELECT count(*) FROM app.access_audit_default";

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
    let mut holder = world.superuser(&school.database).await;
    sqlx::raw_sql("SELECT pg_advisory_lock('app.access_audit'::regclass::oid::bigint)").execute(&mut holder).await.unwrap();
    let running = world.running(Settings::default());
    running.audit.record(record(school.tenant, 1));
    world.until_written(school, 1).await;
    assert_eq!((scalar::<i64>(&mut holder, PARTITIONS).await, scalar::<i64>(&mut holder, IN_DEFAULT).await), (0, 1));
    assert_eq!(running.stop().await, 0);
}

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
        let (mut seen, mut after, mut added) = (Vec::new(), None, 90);
        loop {
            let page = Audit::list(&mut conn, &Filter::default(), after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.at, last.id));
            seen.extend(page);
            added += 5;
            leave(&running.audit, &records(school.tenant, 5));
            world.until_written(school, added).await;
        }
        let mut expected = before;
        expected.sort_by_key(|record| std::cmp::Reverse((record.at, record.id)));
        assert_eq!(seen, expected);
        assert_eq!(running.stop().await, 0);
    }
}
