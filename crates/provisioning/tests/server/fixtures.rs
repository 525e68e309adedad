//! One test's own server, its admin, and schools on it.

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolCode, SchoolUid, TenantId};
use domain::school::observed::{CatalogFacts, DatabaseAccess, ObservedDatabase, Schema};
use domain::server::PasswordForm;
use postgres::schema::{Kind, Migrations};
use postgres::session::{Credentials, Endpoint, Purpose, Tls, options};
use provisioning::server::catalog::{self, Expected, Passwords};
use provisioning::server::claim::{self, Claim, Claimed};
use provisioning::server::password::SentPassword;
use provisioning::server::prepare::{self, DesiredRoles};
use provisioning::server::{MIGRATOR, TenantObjects, stage, template};
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use testing::{Postgres, PostgresOptions, Version};
use uuid::Uuid;

/// The plain admin's login.
const PLAIN: &str = "dailycare_admin";
pub(crate) const LIMIT: u16 = 5;
pub(crate) const FINGERPRINT: &str = "fingerprint";
pub(crate) const MIGRATOR_PASSWORD: &str = "canary-migrator-password";
pub(crate) const CLUSTER: ClusterUid = ClusterUid(Uuid::from_u128(7));
pub(crate) const ANOTHER_CLUSTER: ClusterUid = ClusterUid(Uuid::from_u128(8));
pub(crate) const ADVISORY_LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";

/// The files of a small schema; the real one takes longer to build and has a test of its own.
const FILES: [(&str, &str); 2] = [
    (
        "0001_notes.sql",
        "CREATE SCHEMA IF NOT EXISTS app; GRANT USAGE ON SCHEMA app TO tenant_app;
         CREATE TABLE app.notes (text text); GRANT SELECT, INSERT ON app.notes TO tenant_app;",
    ),
    ("0002_authors.sql", "ALTER TABLE app.notes ADD author text;"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admin {
    Superuser,
    Plain,
}

pub(crate) struct Server {
    pub(crate) postgres: Postgres,
    pub(crate) version: Version,
    pub(crate) kind: Admin,
    password: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) pool: PgPool,
    pub(crate) migrations: Migrations,
    files: TempDir,
}

/// Runs a test on each version with each kind of admin, at once, each on a server of its own that is prepared and has the template.
pub(crate) async fn on_every_server(test: impl AsyncFn(Server)) {
    Box::pin(everywhere(async |version, kind| test(Server::prepared(version, kind).await).await)).await;
}

/// The same on servers that nothing was done to.
pub(crate) async fn on_every_bare_server(test: impl AsyncFn(Server)) {
    Box::pin(everywhere(async |version, kind| test(Server::bare(version, kind).await).await)).await;
}

async fn everywhere(run: impl AsyncFn(Version, Admin)) {
    // Boxed: a test's future holds everything that it awaits, four times over.
    tokio::join!(
        Box::pin(run(Version::V15, Admin::Superuser)),
        Box::pin(run(Version::V15, Admin::Plain)),
        Box::pin(run(Version::V18, Admin::Superuser)),
        Box::pin(run(Version::V18, Admin::Plain))
    );
}

pub(crate) fn loud() -> PostgresOptions {
    PostgresOptions::default().with("log_statement", "all")
}

impl Server {
    pub(crate) async fn bare(version: Version, kind: Admin) -> Self {
        Self::bare_with(version, loud(), kind).await
    }

    /// With TLS it is asked for.
    pub(crate) async fn bare_with(version: Version, options: PostgresOptions, kind: Admin) -> Self {
        Self::administered(Postgres::start(version, options).await.unwrap(), kind).await
    }

    /// Prepared once, and copied for each test.
    async fn prepared(version: Version, kind: Admin) -> Self {
        let prepare = async |postgres| {
            let server = Self::administered(postgres, kind).await;
            server.prepare().await;
            server.pool.close().await;
            Ok((server.postgres, server.password))
        };
        let recipe = if kind == Admin::Superuser { "tenants-superuser" } else { "tenants-plain" };
        let (postgres, password) = Box::pin(Postgres::start_prepared(version, loud(), recipe, prepare)).await.unwrap();
        Self::of(postgres, kind, password)
    }

    /// A new server, and the admin on it.
    async fn administered(postgres: Postgres, kind: Admin) -> Self {
        let password = match kind {
            Admin::Superuser => postgres.superuser_password().to_owned(),
            Admin::Plain => postgres.create_plain_admin(PLAIN).await.unwrap(),
        };
        Self::of(postgres, kind, password)
    }

    fn of(postgres: Postgres, kind: Admin, password: String) -> Self {
        let tls = if postgres.ca_path().is_some() { Tls::Require } else { Tls::Disable };
        let endpoint = Endpoint { host: postgres.host().into(), port: postgres.port(), tls };
        Self::at(postgres, kind, password, endpoint)
    }

    fn at(postgres: Postgres, kind: Admin, password: String, endpoint: Endpoint) -> Self {
        let username = if kind == Admin::Superuser { "postgres" } else { PLAIN };
        let admin = Credentials { username: username.into(), password: password.clone().into() };
        let files = tempfile::tempdir().unwrap();
        for (file, sql) in FILES {
            std::fs::write(files.path().join(file), sql).unwrap();
        }
        let migrations = Migrations::from_dir(Kind::Tenant, files.path()).unwrap();
        let connect = options(&endpoint, &admin, "postgres", Purpose::Operator);
        let pool = PgPoolOptions::new().max_connections(10).connect_lazy_with(connect);
        Self { version: postgres.version(), postgres, kind, password, endpoint, pool, migrations, files }
    }

    /// Reached over TLS at another port.
    pub(crate) fn behind(self, port: u16) -> Self {
        let endpoint = Endpoint { port, tls: Tls::Require, ..self.endpoint };
        Self::at(self.postgres, self.kind, self.password, endpoint)
    }

    /// Roles, closed maintenance databases (by the server's owner where the admin may not) and the template.
    pub(crate) async fn prepare(&self) {
        let password = MIGRATOR_PASSWORD.into();
        let mut conn = self.pool.acquire().await.unwrap();
        prepare::prepare_roles(&self.pool, &desired(&password), PasswordForm::Verifier).await.unwrap();
        if self.kind == Admin::Plain {
            self.as_superuser(
                "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO dailycare_admin",
            )
            .await;
        }
        assert_eq!(prepare::close_maintenance_databases(&mut conn).await.unwrap().open, Vec::<String>::new());
        self.build(&self.migrations).await.unwrap();
    }

    pub(crate) async fn build(&self, migrations: &Migrations) -> provisioning::server::Result<()> {
        template::build(&self.pool, &self.endpoint, &migrator(), migrations).await
    }

    pub(crate) fn digest(&self) -> &str {
        self.migrations.digest()
    }

    /// The schema with one more file.
    pub(crate) fn and_then(&self, file: &str, sql: &str) -> Migrations {
        std::fs::write(self.files.path().join(file), sql).unwrap();
        Migrations::from_dir(Kind::Tenant, self.files.path()).unwrap()
    }

    pub(crate) async fn superuser(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.postgres.superuser_url(database)).await.unwrap()
    }

    pub(crate) async fn as_superuser(&self, statements: &str) {
        let mut conn = self.superuser("postgres").await;
        let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut conn).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    pub(crate) async fn as_admin(&self, statements: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&self.pool).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    pub(crate) async fn query<T>(&self, query: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.superuser("postgres").await).await.unwrap()
    }

    /// Every row version of the shared catalogs: two equal answers mean that nothing was written in between.
    pub(crate) async fn catalogs(&self) -> String {
        let rows = |table: &str| format!("SELECT '{table} ' || xmin || ctid AS row FROM {table}");
        let tables = ["pg_database", "pg_authid", "pg_auth_members", "pg_shdescription", "pg_db_role_setting"].map(rows);
        self.query(&format!("SELECT string_agg(row, ' ' ORDER BY row) FROM ({}) AS rows", tables.join(" UNION ALL "))).await
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.postgres.log_path()).unwrap()
    }

    pub(crate) async fn stage(&self) -> String {
        stage::stage(&self.pool, self.digest()).await.unwrap()
    }

    pub(crate) async fn spares(&self) -> u32 {
        stage::spares(&mut self.pool.acquire().await.unwrap(), self.digest()).await.unwrap()
    }

    pub(crate) async fn claim(&self, school: &School) -> Claimed {
        self.try_claim(school, &SentPassword::new(&school.password, PasswordForm::Verifier)).await.unwrap()
    }

    pub(crate) async fn try_claim(&self, school: &School, password: &SentPassword) -> provisioning::server::Result<Claimed> {
        let claim = Claim {
            objects: &school.objects,
            school: school.uid,
            schema: self.migrations.target(),
            digest: self.digest(),
            password,
            fingerprint: FINGERPRINT,
            connection_limit: LIMIT,
        };
        claim::claim(&self.pool, &claim).await
    }

    /// A school with an open database.
    pub(crate) async fn school(&self, code: &str) -> School {
        let school = School::named(code);
        self.stage().await;
        assert_eq!(self.claim(&school).await, Claimed::Now);
        school
    }

    pub(crate) async fn observe(&self, school: &School) -> CatalogFacts {
        let mut conn = self.pool.acquire().await.unwrap();
        catalog::observe(&mut conn, &self.migrations, Passwords::Hidden, &[school.expected()]).await.unwrap()[0].facts
    }

    pub(crate) async fn access(&self, school: &School) -> DatabaseAccess {
        match self.observe(school).await.database {
            ObservedDatabase::Ours { access, .. } => access,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn whole(&self, access: DatabaseAccess) -> ObservedDatabase {
        ObservedDatabase::Ours { schema: Schema { version: self.migrations.target(), genuine: true }, access }
    }

    /// The school's login in some database.
    pub(crate) async fn log_in(&self, school: &School, database: &str) -> Result<PgConnection, sqlx::Error> {
        let credentials = Credentials { username: school.objects.login.to_string(), password: school.password.clone() };
        PgConnection::connect_with(&options(&self.endpoint, &credentials, database, Purpose::Migrator)).await
    }

    pub(crate) async fn log_in_as_migrator(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&options(&self.endpoint, &migrator(), database, Purpose::Migrator)).await
    }
}

pub(crate) struct School {
    pub(crate) objects: TenantObjects,
    pub(crate) uid: SchoolUid,
    pub(crate) password: SecretString,
}

impl School {
    pub(crate) fn named(code: &str) -> Self {
        let uid = SchoolUid(Uuid::new_v5(&CLUSTER.0, code.as_bytes()));
        let database = DatabaseName::of(&SchoolCode::parse(code).unwrap());
        let login = LoginName::of(&database);
        Self {
            objects: TenantObjects { database, login, tenant: TenantId::of(CLUSTER, uid), cluster: CLUSTER },
            uid,
            password: format!("canary-{code}-password").into(),
        }
    }

    pub(crate) fn expected(&self) -> Expected {
        Expected {
            objects: self.objects.clone(),
            connection_limit: LIMIT,
            fingerprints: vec![FINGERPRINT.into()],
            password: Some(self.password.clone()),
        }
    }

    pub(crate) fn database(&self) -> &str {
        self.objects.database.as_str()
    }

    pub(crate) fn login(&self) -> &str {
        self.objects.login.as_str()
    }
}

pub(crate) fn migrator() -> Credentials {
    Credentials { username: MIGRATOR.into(), password: MIGRATOR_PASSWORD.into() }
}

pub(crate) fn desired(password: &SecretString) -> DesiredRoles<'_> {
    DesiredRoles { cluster: CLUSTER, password, fingerprint: FINGERPRINT }
}

/// An error with its sources, as a careless log would print it.
pub(crate) fn everything_about(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
