//! A master database, prepared and written as the operator does it, read as the API does.

use std::process::Command;

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolCode, SchoolUid, ServerName, TenantId};
use domain::tenant::{InactiveState, Profile, TenantState};
use postgres::schema::Migrations;
use postgres::session::{Credentials, Endpoint, Tls};
use postgres::url::Target;
use provisioning::master::TenantRef;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{Change, Publication, Reservation, Reserved, publish, reserve, set_state};
use registry::route::{PoolSettings, Route};
use registry::seal::OpeningKeys;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use testing::{Postgres, Version};
use uuid::Uuid;

const DATABASE: &str = "dailycare_master";
/// The API's login to the master database, a member of `dailycare_api`.
pub(crate) const API_LOGIN: &str = "api_login";
const API_PASSWORD: &str = "canary-api-password";
const CLUSTER: ClusterUid = ClusterUid(Uuid::from_u128(0xc1));

/// A server with a master database on it. Schools are numbered; their routes lead to this same server.
pub(crate) struct Master {
    pub(crate) server: Postgres,
    /// The operator's pool.
    pub(crate) operator: PgPool,
    /// What seals credentials.
    pub(crate) keyring: Keyring,
    /// What opens them, the API's.
    pub(crate) opening: OpeningKeys,
}

impl Master {
    /// Its log shows every statement.
    pub(crate) async fn start(version: Version) -> Self {
        let (prepared, operator) = testing::master::Master::bootstrapped(version).await;
        let file = Keyring::generate_file("k1").unwrap();
        let keyring = Keyring::parse(&file).unwrap();
        let opening = OpeningKeys::parse(&Keyring::opening_file(&file).unwrap()).unwrap();
        let master = Self { server: prepared.server, operator, keyring, opening };
        let create = format!("CREATE ROLE {API_LOGIN} LOGIN PASSWORD '{API_PASSWORD}' IN ROLE dailycare_api");
        master.superuser(&create).await;
        master
    }

    /// The API's pool.
    pub(crate) fn api(&self) -> PgPool {
        registry::open(&target(&self.server, API_LOGIN, API_PASSWORD))
    }

    /// Runs SQL in the master database as the server's superuser.
    pub(crate) async fn superuser(&self, sql: &str) {
        self.superuser_in(DATABASE, &[sql]).await;
    }

    async fn superuser_in(&self, database: &str, statements: &[&str]) {
        let options = PgConnectOptions::new_without_pgpass().host(self.server.host()).port(self.server.port());
        let options = options.username("postgres").password(self.server.superuser_password()).database(database);
        let mut conn: PgConnection = options.connect().await.unwrap();
        for &sql in statements {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// Keeps a copy of the master database for [`Self::restore`]. Every session in it ends.
    pub(crate) async fn back_up(&self) {
        let statements = [
            "ALTER DATABASE dailycare_master ALLOW_CONNECTIONS false",
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'dailycare_master'",
            "CREATE DATABASE backup TEMPLATE dailycare_master STRATEGY WAL_LOG",
            "ALTER DATABASE dailycare_master ALLOW_CONNECTIONS true",
        ];
        self.superuser_in("postgres", &statements).await;
    }

    /// Puts the copy in the place of the master database, as a restore does.
    pub(crate) async fn restore(&self) {
        let statements = ["DROP DATABASE dailycare_master WITH (FORCE)", "ALTER DATABASE backup RENAME TO dailycare_master"];
        self.superuser_in("postgres", &statements).await;
    }

    /// Runs SQL as the operator.
    pub(crate) async fn write(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.operator).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Ends the API's sessions in the master database.
    pub(crate) async fn cut(&self) {
        self.superuser(&format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{API_LOGIN}'")).await;
    }

    /// Stops the processes of the API's sessions in the master database, as if the network had swallowed them. [`Postgres::resume`] lets them go on.
    pub(crate) async fn freeze(&self) {
        let sessions = sqlx::query_scalar("SELECT pid::text FROM pg_stat_activity WHERE usename = $1").bind(API_LOGIN);
        let pids: Vec<String> = sessions.fetch_all(&self.operator).await.unwrap();
        assert!(!pids.is_empty());
        assert!(Command::new("sh").args(["-c", "kill -s STOP \"$@\"", "kill"]).args(pids).status().unwrap().success());
    }

    pub(crate) async fn reserve(&self, n: u128, code: &str) -> TenantId {
        let code = SchoolCode::parse(code).unwrap();
        let Publication { tenant, profile, route, .. } = self.publication(n, code.as_str());
        let Route { server, database, login, .. } = route;
        let reservation =
            Reservation { tenant, namespace: "schools".into(), name: format!("school-{n}"), profile, server, login, database, code };
        assert_eq!(reserve(&self.operator, &reservation).await.unwrap(), Reserved::Ours);
        tenant.id
    }

    /// What an active school's row says.
    pub(crate) fn publication(&self, n: u128, code: &str) -> Publication {
        let database = DatabaseName::of(&SchoolCode::parse(code).unwrap());
        let login = LoginName::of(&database);
        let profile = Profile { name: format!("Escola {code}"), email: format!("geral@{code}.example"), phone_number: None };
        let endpoint = Endpoint { host: self.server.host().into(), port: self.server.port(), tls: Tls::Disable };
        let pool = PoolSettings { size: 100, connect_timeout_seconds: 30, command_timeout_seconds: 60, pooling: true };
        let route = Route { server: ServerName::parse("pg-1").unwrap(), endpoint, database, login, pool };
        Publication {
            tenant: tenant_ref(n),
            profile,
            route,
            password: Some("canary-password".into()),
            schema_version: Migrations::tenant().unwrap().target(),
            state: TenantState::Active,
        }
    }

    pub(crate) async fn publish(&self, publication: &Publication) {
        self.publish_with(publication, &self.keyring).await;
    }

    pub(crate) async fn publish_with(&self, publication: &Publication, keyring: &Keyring) {
        assert_eq!(publish(&self.operator, publication, keyring).await.unwrap(), Change::Made);
    }

    /// A school that serves.
    pub(crate) async fn school(&self, n: u128, code: &str) -> TenantId {
        let tenant = self.reserve(n, code).await;
        self.publish(&self.publication(n, code)).await;
        tenant
    }

    pub(crate) async fn withdraw(&self, n: u128, to: InactiveState) {
        assert_eq!(set_state(&self.operator, tenant_ref(n), to).await.unwrap(), Change::Made);
    }

    /// How many statements that hold `text` the server has begun.
    pub(crate) fn statements(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.server.log_path()).unwrap();
        log.lines().filter(|line| line.contains(" execute ") && line.contains(text)).count()
    }
}

fn tenant_ref(n: u128) -> TenantRef {
    let school = SchoolUid(Uuid::from_u128(n));
    TenantRef { id: TenantId::of(CLUSTER, school), school, cluster: CLUSTER }
}

fn target(server: &Postgres, user: &str, password: &str) -> Target {
    Target {
        endpoint: Endpoint { host: server.host().into(), port: server.port(), tls: Tls::Disable },
        credentials: Credentials { username: user.into(), password: password.into() },
        database: DATABASE.into(),
    }
}
