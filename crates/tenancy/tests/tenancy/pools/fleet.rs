//! A server with schools' databases on it, and pools to them.

use std::sync::Arc;
use std::time::Duration;

use domain::names::{DatabaseName, LoginName, ServerName, TenantId};
use postgres::session::{Endpoint, Tls};
use registry::route::{PoolSettings, Route};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _};
use tenancy::pools::{Connection, Error, Limits, Pools, ServerUsage, Target};
use testing::{Postgres, PostgresOptions, Version};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Long enough for any machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Fleet {
    pub(crate) server: Postgres,
    pub(crate) admin: PgPool,
    schools: usize,
}

/// Limits under which nothing happens by the clock.
pub(crate) fn limits() -> Limits {
    let never = Duration::from_hours(1);
    Limits { server_budget: 10, wait: PATIENCE, idle: never, lifetime: never, check_after_idle: never, ..Limits::default() }
}

impl Fleet {
    /// Databases `school_0`, `school_1`... each owned by a login of the same name.
    pub(crate) async fn start(version: Version, schools: usize) -> Self {
        let server = Postgres::start(version, PostgresOptions::default()).await.unwrap();
        let admin = PgPoolOptions::new().max_connections(4).connect(&server.superuser_url("postgres")).await.unwrap();
        let fleet = Self { server, admin, schools };
        for school in 0..schools {
            fleet.run(format!("CREATE ROLE school_{school} LOGIN PASSWORD 'right'")).await;
            fleet.run(format!("CREATE DATABASE school_{school} OWNER school_{school} TEMPLATE template0 STRATEGY WAL_LOG")).await;
        }
        fleet
    }

    pub(crate) async fn run(&self, statement: String) {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.unwrap();
    }

    pub(crate) fn route(&self, tenant: usize) -> Route {
        let name = format!("school_{}", tenant % self.schools);
        Route {
            server: ServerName::parse("pg-1").unwrap(),
            endpoint: Endpoint { host: self.server.host().to_owned(), port: self.server.port(), tls: Tls::Disable },
            database: DatabaseName::parse(&name).unwrap(),
            login: LoginName::parse(&name).unwrap(),
            pool: PoolSettings { size: 100, connect_timeout_seconds: 30, command_timeout_seconds: 60, pooling: true },
        }
    }

    pub(crate) fn target(&self, tenant: usize) -> Arc<Target> {
        self.target_of(tenant, 1, "right")
    }

    pub(crate) fn target_of(&self, tenant: usize, epoch: i64, password: &str) -> Arc<Target> {
        Arc::new(Target::new(id(tenant), epoch, &self.route(tenant), password.into()))
    }

    /// Sessions of schools, as PostgreSQL shows them.
    pub(crate) async fn sessions(&self) -> i64 {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'school%' AND backend_type = 'client backend'";
        sqlx::query_scalar(query).fetch_one(&self.admin).await.unwrap()
    }

    /// Ends a backend and returns when it is gone.
    pub(crate) async fn terminate(&self, pid: i32) {
        sqlx::query("SELECT pg_terminate_backend($1, 60000)").bind(pid).execute(&self.admin).await.unwrap();
    }
}

pub(crate) fn id(tenant: usize) -> TenantId {
    TenantId(Uuid::from_u128(tenant as u128))
}

pub(crate) fn usage(pools: &Pools) -> ServerUsage {
    let mut all = pools.usage();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

pub(crate) async fn pid(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.unwrap()
}

pub(crate) async fn database(connection: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT current_database()::text").fetch_one(connection).await.unwrap()
}

/// Whether a transaction is open: its time stands still.
pub(crate) async fn in_transaction(connection: &mut PgConnection) -> bool {
    let mut now = async || sqlx::query_scalar::<_, String>("SELECT now()::text").fetch_one(&mut *connection).await.unwrap();
    now().await == now().await
}

/// Asks in a task of its own.
pub(crate) fn request_connection(pools: &Arc<Pools>, target: &Arc<Target>) -> JoinHandle<Result<Connection, Error>> {
    let (pools, target) = (Arc::clone(pools), Arc::clone(target));
    tokio::spawn(async move { pools.connection(&target).await })
}
