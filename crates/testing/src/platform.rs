//! A platform without Kubernetes: a PostgreSQL server with the master database and schools on it, made by the same functions that the operator calls.
//!
//! For tests and benches of the API, which needs schools and routes and must not care who made them.
//! Must not repeat a step of the product: it calls the product's functions.

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolCode, SchoolUid, ServerName, TenantId};
use domain::server::PasswordForm;
use domain::tenant::{InactiveState, Profile, TenantState};
use postgres::schema::Migrations;
use postgres::session::{Credentials, Endpoint, Purpose, Tls, options};
use postgres::url::Target;
use provisioning::master::TenantRef;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{self, Publication, Reservation};
use provisioning::server::claim::{self, Claim};
use provisioning::server::password::SentPassword;
use provisioning::server::prepare::{self, DesiredRoles};
use provisioning::server::{MIGRATOR, TenantObjects, access, stage, template};
use registry::route::{PoolSettings, Route};
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use super::error::Error;
use super::random::random_token;
use super::{Postgres, PostgresOptions, Result, Version};

const MASTER: &str = "dailycare_master";
const API_LOGIN: &str = "api_login";
const SERVER: &str = "pg-1";
const CLUSTER: ClusterUid = ClusterUid(Uuid::from_u128(0xda17));

/// Sessions of one school's login.
const CONNECTION_LIMIT: u16 = 200;

/// A server with a master database, prepared for schools. Its superuser does what an operator's admin would.
#[derive(Debug)]
pub struct Platform {
    /// The server, of the master database and of every school.
    pub server: Postgres,
    /// The operator's pool to the master database.
    pub operator: PgPool,
    /// The sealing keys' file, as text.
    pub sealing_keys: SecretString,
    /// The opening keys' file that goes with them, as text: the API's.
    pub opening_keys: SecretString,
    admin: PgPool,
    keyring: Keyring,
    migrations: Migrations,
    api_password: String,
}

/// A school with a database of its own and a route in the registry.
#[derive(Clone, Debug)]
pub struct School {
    /// Its registry key and School object.
    pub tenant: TenantRef,
    /// Its code.
    pub code: SchoolCode,
    /// Its database and login.
    pub objects: TenantObjects,
    password: SecretString,
}

/// The superuser's pool, and where the master database is.
fn connections(server: &Postgres) -> (PgPool, Target) {
    let endpoint = Endpoint { host: server.host().into(), port: server.port(), tls: Tls::Disable };
    let credentials = Credentials { username: "postgres".into(), password: server.superuser_password().to_owned().into() };
    let connect = options(&endpoint, &credentials, "postgres", Purpose::Operator);
    let admin = PgPoolOptions::new().max_connections(8).connect_lazy_with(connect);
    (admin, Target { endpoint, credentials, database: MASTER.into() })
}

/// What every platform has before its first school: master database, roles, template, and the API's login, whose password is returned.
async fn prepare(server: &Postgres, master: &Migrations, tenant: &Migrations) -> Result<String> {
    let (admin, target) = connections(server);
    let operator = Box::pin(provisioning::master::bootstrap(&target, master)).await.map_err(Error::product)?;
    let migrator = Credentials { username: MIGRATOR.into(), password: random_token()?.into() };
    let mut conn = admin.acquire().await.map_err(Error::product)?;
    let desired = DesiredRoles { cluster: CLUSTER, password: &migrator.password, fingerprint: "fingerprint" };
    prepare::prepare_roles(&admin, &desired, PasswordForm::Verifier).await.map_err(Error::product)?;
    prepare::close_maintenance_databases(&mut conn).await.map_err(Error::product)?;
    Box::pin(template::build(&admin, &target.endpoint, &migrator, tenant)).await.map_err(Error::product)?;
    let password = random_token()?;
    let create = format!("CREATE ROLE {API_LOGIN} LOGIN PASSWORD '{password}' IN ROLE {}", provisioning::master::bootstrap::API);
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *conn).await.map_err(Error::product)?;
    drop(conn);
    // Their sessions end before the server does.
    operator.close().await;
    admin.close().await;
    Ok(password)
}

impl Platform {
    /// Starts a server that has the master database and the template of the tenant schema. They are made once for each build of a test program.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn start(version: Version, options: PostgresOptions) -> Result<Self> {
        let (tenant, master) = (Migrations::tenant().map_err(Error::product)?, Migrations::master().map_err(Error::product)?);
        let prepare = async |server| prepare(&server, &master, &tenant).await.map(|password| (server, password));
        let (server, api_password) = Box::pin(Postgres::start_prepared(version, options, "platform", prepare)).await?;
        let (admin, target) = connections(&server);
        let operator = provisioning::master::bootstrap(&target, &master).await.map_err(Error::product)?;
        let sealing_keys = Keyring::generate_file("k1").map_err(Error::product)?;
        let opening_keys = Keyring::opening_file(&sealing_keys).map_err(Error::product)?;
        let keyring = Keyring::parse(&sealing_keys).map_err(Error::product)?;
        Ok(Self { server, operator, sealing_keys, opening_keys, admin, keyring, migrations: tenant, api_password })
    }

    /// The master database's URL for the API's login, password included.
    #[must_use]
    pub fn api_url(&self) -> String {
        let (host, port) = (self.server.host(), self.server.port());
        format!("postgres://{API_LOGIN}:{}@{host}:{port}/{MASTER}?sslmode=disable", self.api_password)
    }

    /// A school that serves.
    ///
    /// # Errors
    /// When any step fails, or the code is taken.
    pub async fn school(&self, code: &str) -> Result<School> {
        let code = SchoolCode::parse(code).map_err(Error::product)?;
        let uid = SchoolUid(Uuid::new_v4());
        let tenant = TenantRef { id: TenantId::of(CLUSTER, uid), school: uid, cluster: CLUSTER };
        let database = DatabaseName::of(&code);
        let login = LoginName::of(&database);
        let school = School {
            tenant,
            objects: TenantObjects { database, login, tenant: tenant.id, cluster: CLUSTER },
            code,
            password: random_token()?.into(),
        };
        tenants::reserve(&self.operator, &self.reservation(&school)).await.map_err(Error::product)?;
        self.claim(&school).await?;
        self.publish(&school, TenantState::Active).await?;
        Ok(school)
    }

    /// As the operator does, spare by spare: another's claim may have taken the one that was staged.
    async fn claim(&self, school: &School) -> Result<()> {
        let claim = Claim {
            objects: &school.objects,
            school: school.tenant.school,
            schema: self.migrations.target(),
            digest: self.migrations.digest(),
            password: &SentPassword::new(&school.password, PasswordForm::Verifier),
            fingerprint: "fingerprint",
            connection_limit: CONNECTION_LIMIT,
        };
        while claim::claim(&self.admin, &claim).await.map_err(Error::product)? != claim::Claimed::Now {
            stage::stage(&self.admin, self.migrations.digest()).await.map_err(Error::product)?;
        }
        Ok(())
    }

    fn reservation(&self, school: &School) -> Reservation {
        let Publication { tenant, profile, route, .. } = self.publication(school, TenantState::Active);
        let Route { server, database, login, .. } = route;
        let name = school.code.to_string();
        Reservation { tenant, namespace: "schools".into(), name, code: school.code.clone(), profile, server, database, login }
    }

    /// What the registry says of a school in this state.
    #[must_use]
    pub fn publication(&self, school: &School, state: TenantState) -> Publication {
        let School { tenant, code, objects, password } = school;
        Publication {
            tenant: *tenant,
            profile: Profile { name: format!("Escola {code}"), email: format!("geral@{code}.example"), phone_number: None },
            route: Route {
                server: ServerName::parse(SERVER).unwrap_or_else(|_| unreachable!("a constant name")),
                endpoint: Endpoint { host: self.server.host().into(), port: self.server.port(), tls: Tls::Disable },
                database: objects.database.clone(),
                login: objects.login.clone(),
                pool: PoolSettings { size: 100, connect_timeout_seconds: 30, command_timeout_seconds: 60, pooling: true },
            },
            password: Some(password.clone()),
            schema_version: self.migrations.target(),
            state,
        }
    }

    /// Writes a school's row.
    ///
    /// # Errors
    /// When the registry fails.
    pub async fn publish(&self, school: &School, state: TenantState) -> Result<()> {
        tenants::publish(&self.operator, &self.publication(school, state), &self.keyring).await.map(|_| ()).map_err(Error::product)
    }

    /// Suspends a school as the operator does: its row first, then its login's door, which ends its sessions.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn suspend(&self, school: &School) -> Result<()> {
        tenants::set_state(&self.operator, school.tenant, InactiveState::Suspended).await.map_err(Error::product)?;
        access::close(&self.admin, &school.objects).await.map_err(Error::product)
    }

    /// Opens it again.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn resume(&self, school: &School) -> Result<()> {
        access::open(&self.admin, &school.objects, CONNECTION_LIMIT).await.map_err(Error::product)?;
        self.publish(school, TenantState::Active).await
    }

    /// Gives a school's login another password, and its route the same.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn rotate(&self, school: &mut School) -> Result<()> {
        school.password = random_token()?.into();
        let password = SentPassword::new(&school.password, PasswordForm::Verifier);
        access::set_password(&self.admin, &school.objects, school.tenant.school, &password, "fingerprint").await.map_err(Error::product)?;
        self.publish(school, TenantState::Active).await
    }

    /// A superuser's session in a school's database, for what no login of the product may do.
    ///
    /// # Errors
    /// When it cannot connect.
    pub async fn superuser(&self, school: &School) -> Result<PgConnection> {
        PgConnection::connect(&self.server.superuser_url(school.objects.database.as_str())).await.map_err(Error::product)
    }
}
