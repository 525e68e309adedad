//! Schools with databases, and an audit that is written to them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use domain::names::TenantId;
use postgres::schema::Migrations;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tenancy::audit::{Audit, Filter, Record, Settings, Writer};
use tenancy::pools::{self, Pools};
use tenancy::registry_cache::{self, RegistryCache};
use testing::{Version, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::master::Master;

/// Longer than any test.
pub(crate) const NEVER: Duration = Duration::from_hours(1);

/// For what must happen, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Schools with databases, and what the API keeps of them.
pub(crate) struct World {
    pub(crate) master: Master,
    pub(crate) schools: Vec<School>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) registry_cache: Arc<RegistryCache>,
}

#[derive(Clone)]
pub(crate) struct School {
    pub(crate) tenant: TenantId,
    pub(crate) database: String,
}

impl World {
    pub(crate) async fn start(version: Version, schools: usize) -> Self {
        Self::with(version, schools, async |_| {}).await
    }

    /// `also` changes the registry before the API reads it.
    pub(crate) async fn with(version: Version, schools: usize, also: impl AsyncFnOnce(&Master)) -> Self {
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
    pub(crate) fn audit(&self, settings: Settings) -> (Audit, Writer) {
        Audit::start(Arc::clone(&self.pools), Arc::clone(&self.registry_cache), self.master.api(), settings)
    }

    pub(crate) fn running(&self, settings: Settings) -> Running {
        let (audit, writer) = self.audit(settings);
        Running::start(audit, writer)
    }

    pub(crate) async fn superuser(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.master.server.superuser_url(database)).await.unwrap()
    }

    /// Runs SQL in a school's database as the server's superuser.
    pub(crate) async fn inside(&self, school: &School, sql: &'static str) {
        let mut conn = self.superuser(&school.database).await;
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Waits for the server to have logged this so many times.
    pub(crate) async fn until_logged(&self, text: &str, times: usize) {
        let log = self.master.server.log_path();
        let logged = async || std::fs::read_to_string(log).unwrap().matches(text).count() >= times;
        until(&format!("the server logged {text}"), logged).await;
    }

    /// All of a school's records in the order in which they were written.
    pub(crate) async fn written(&self, school: &School) -> Vec<Uuid> {
        let mut conn = self.superuser(&school.database).await;
        sqlx::query_scalar("SELECT id FROM app.access_audit ORDER BY tableoid, ctid").fetch_all(&mut conn).await.unwrap()
    }

    pub(crate) async fn until_written(&self, school: &School, records: usize) {
        let mut conn = self.superuser(&school.database).await;
        let count = "SELECT count(*) FROM app.access_audit";
        let records = i64::try_from(records).unwrap();
        let written = async || sqlx::query_scalar::<_, i64>(count).fetch_one(&mut conn).await.unwrap() == records;
        until(&format!("{records} records are written"), written).await;
    }

    /// The platform's own records.
    pub(crate) async fn platform(&self, tenant: Option<TenantId>) -> Vec<Record> {
        let mut conn = self.master.api().acquire().await.unwrap();
        Audit::list_platform(&mut conn, tenant, &Filter::default(), None, 10_000).await.unwrap()
    }

    /// Nobody can enter the school's database any more, and who is in it is out.
    pub(crate) async fn close(&self, school: &School) {
        let School { database, .. } = school;
        self.master.superuser(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).await;
        self.master.superuser(&format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")).await;
    }

    pub(crate) async fn open(&self, school: &School) {
        self.master.superuser(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", school.database)).await;
    }
}

pub(crate) async fn migrate(master: &Master) {
    let mut conn = PgConnection::connect(&master.server.superuser_url("school")).await.unwrap();
    sqlx::raw_sql("SET ROLE tenant_owner").execute(&mut conn).await.unwrap();
    let migrations = Migrations::tenant().unwrap();
    for migration in migrations.all() {
        migrations.apply(&mut conn, migration, None).await.unwrap();
    }
    conn.close().await.unwrap();
}

/// An audit that is written, until it is stopped.
pub(crate) struct Running {
    pub(crate) audit: Audit,
    pub(crate) stop: CancellationToken,
    pub(crate) writer: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(audit: Audit, writer: Writer) -> Self {
        let stop = CancellationToken::new();
        let writer = tokio::spawn(writer.run(stop.clone()));
        Self { audit, stop, writer }
    }

    /// A graceful stop; returns how many records were lost since the start.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.writer).await.unwrap_or_else(|_| panic!("the writer never ended")).unwrap();
        assert_eq!(self.audit.waiting(), 0);
        self.audit.dropped()
    }

    pub(crate) async fn until_waiting(&self, records: usize) {
        until(&format!("{records} records wait"), async || self.audit.waiting() == records).await;
    }
}

/// As precise as the database is.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().duration_trunc(TimeDelta::microseconds(1)).unwrap()
}

pub(crate) fn record(tenant: impl Into<Option<TenantId>>, n: usize) -> Record {
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

pub(crate) fn records(tenant: TenantId, count: usize) -> Vec<Record> {
    (0..count).map(|n| record(tenant, n)).collect()
}

pub(crate) fn ids(records: &[Record]) -> Vec<Uuid> {
    records.iter().map(|record| record.id).collect()
}

pub(crate) fn leave(audit: &Audit, records: &[Record]) {
    for record in records {
        audit.record(record.clone());
    }
}

pub(crate) async fn scalar<T>(conn: &mut PgConnection, sql: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The first statement is slower than the writer's patience, and commits all the same.
pub(crate) const SLOW_ONCE: &str = "
    CREATE SEQUENCE public.statements;
    CREATE FUNCTION public.slow_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF nextval('public.statements') = 1 THEN
            PERFORM pg_sleep(3);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER slow_once AFTER INSERT ON app.access_audit FOR EACH STATEMENT EXECUTE FUNCTION public.slow_once()";

/// Where a month's records are, if it has a partition.
pub(crate) const PARTITIONS: &str = "
    SELECT count(*) FROM generate_series(date_trunc('month', now()), now() + interval '1 month', '1 month') AS month
    WHERE to_regclass(format('app.access_audit_%s', to_char(month, '\"y\"YYYY\"m\"MM'))) IS NOT NULL";

pub(crate) const IN_DEFAULT: &str = "SELECT count(*) FROM app.access_audit_default";
