//! A school's SQL without anything around it: the statements that the operator sends to make one, and none that it sends to look.
//!
//! In order: reserve the code (1 statement), copy the frozen template into a spare (`CREATE DATABASE … STRATEGY WAL_LOG`, and setting and resetting
//! its time-out), claim it (1 transaction in 2 messages), insert the administrator (1 statement), publish the route (2 statements). Must not read.

use std::sync::Arc;

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolUid, SecretName, ServerName, TenantId};
use domain::school::desired::{Desired, DesiredSchool};
use domain::school::observed::Names;
use domain::tenant::{InactiveState, TenantState};
use kube::ResourceExt as _;
use operator::controller::server_connection::ServerConnection;
use operator::crd::{School, convert};
use postgres::quote::Ident;
use postgres::schema::Migrations;
use provisioning::master::TenantRef;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{self, Change, Publication, Reservation, Reserved};
use provisioning::master::users::{self, Creation};
use provisioning::server::claim::{Claim, Claimed, claim};
use provisioning::server::password::SentPassword;
use provisioning::server::{TenantObjects, drop, stage};
use registry::route::{PoolSettings, Route};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::Outcome;
use crate::environment::Environment;

/// One school to be made.
pub(crate) struct Case {
    pub(crate) tenant: TenantRef,
    pub(crate) names: Names,
    pub(crate) desired: Desired,
    pub(crate) school: DesiredSchool,
    namespace: String,
    name: String,
}

impl Case {
    /// The names that the operator would choose for a School on this server.
    pub(crate) fn of(object: &School, cluster: ClusterUid, server: &ServerName, schema: u32) -> Outcome<Self> {
        let desired = convert::desired(object, schema)?;
        let Desired::Present(school) = &desired else { return Err("a new School is being deleted".into()) };
        let school = DesiredSchool::clone(school);
        let uid = SchoolUid(Uuid::parse_str(&object.uid().ok_or("a School has no uid")?)?);
        let tenant = TenantId::of(cluster, uid);
        let database = DatabaseName::of(&school.code);
        let names = Names {
            tenant,
            server: server.clone(),
            login: LoginName::of(&database),
            database,
            secret: school.secret.clone(),
            admin_secret: SecretName::parse(&format!("{}-admin", object.name_any()))?,
        };
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        Ok(Self { tenant: TenantRef { id: tenant, school: uid, cluster }, names, desired, school, namespace, name })
    }

    fn objects(&self) -> TenantObjects {
        let Names { database, login, tenant, .. } = self.names.clone();
        TenantObjects { database, login, tenant, cluster: self.tenant.cluster }
    }
}

/// A password and what PostgreSQL is sent of it.
pub(crate) struct Password {
    pub(crate) password: SecretString,
    pub(crate) sent: SentPassword,
}

/// The connections that the statements go over, with the operator's own settings and bounds.
pub(crate) struct Sql {
    registry: PgPool,
    pub(crate) connections: [(ServerName, Arc<ServerConnection>); 2],
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) migrations: Arc<Migrations>,
}

impl Sql {
    pub(crate) async fn open(environment: &Environment) -> Outcome<Self> {
        let (keyring, migrations) = (Arc::clone(&environment.keyring), Arc::clone(&environment.migrations));
        Ok(Self { registry: environment.registry().await?, connections: environment.connections()?, keyring, migrations })
    }

    /// Ends the connections, so that the next phase opens its own.
    pub(crate) async fn close(&self) {
        self.registry.close().await;
        for (_, connection) in &self.connections {
            connection.pool().close().await;
        }
    }

    pub(crate) async fn reserve(&self, case: &Case) -> Outcome {
        let Case { tenant, names, school, namespace, name, .. } = case;
        let reservation = Reservation {
            tenant: *tenant,
            namespace: namespace.clone(),
            name: name.clone(),
            code: school.code.clone(),
            profile: school.profile.clone(),
            server: names.server.clone(),
            database: names.database.clone(),
            login: names.login.clone(),
        };
        expect(tenants::reserve(&self.registry, &reservation).await? == Reserved::Ours, "reserve the code")
    }

    pub(crate) async fn stage_and_claim(&self, case: &Case, connection: &ServerConnection, password: &Password) -> Outcome {
        let digest = self.migrations.digest();
        stage::stage(connection.pool(), digest).await?;
        let desired = Claim {
            objects: &case.objects(),
            school: case.tenant.school,
            schema: self.migrations.target(),
            digest,
            password: &password.sent,
            fingerprint: &self.keyring.fingerprint(case.tenant.id, &password.password)?,
            connection_limit: case.school.connection_limit,
        };
        // A claim that began a moment later may have taken our spare for its own, which is then there for us.
        loop {
            match claim(connection.pool(), &desired).await? {
                Claimed::Now => return Ok(()),
                Claimed::NoSpare => {}
                Claimed::AlreadyThere => return Err("the floor's database exists already".into()),
            }
        }
    }

    pub(crate) async fn create_admin(&self, case: &Case, hash: &str) -> Outcome {
        expect(
            users::create_admin(&self.registry, case.tenant, &case.school.admin, hash).await? == Creation::Made,
            "create the administrator",
        )
    }

    pub(crate) async fn publish(&self, case: &Case, connection: &ServerConnection, password: &Password) -> Outcome {
        let publication = Publication {
            tenant: case.tenant,
            profile: case.school.profile.clone(),
            route: Route {
                server: case.names.server.clone(),
                endpoint: connection.endpoint.clone(),
                database: case.names.database.clone(),
                login: case.names.login.clone(),
                pool: PoolSettings {
                    size: case.school.connection_limit,
                    connect_timeout_seconds: 30,
                    command_timeout_seconds: 60,
                    pooling: true,
                },
            },
            password: Some(password.password.clone()),
            schema_version: self.migrations.target(),
            state: TenantState::Active,
        };
        expect(tenants::publish(&self.registry, &publication, &self.keyring).await? == Change::Made, "publish the route")
    }

    /// All of the above.
    pub(crate) async fn make(&self, case: &Case, connection: &ServerConnection, password: &Password, hash: &str) -> Outcome {
        self.reserve(case).await?;
        self.stage_and_claim(case, connection, password).await?;
        self.create_admin(case, hash).await?;
        self.publish(case, connection, password).await
    }

    /// Takes it all away again.
    /// The least that its deletion needs.
    pub(crate) async fn drop_bare(&self, case: &Case, connection: &ServerConnection) -> Outcome {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", Ident(case.names.database.as_str()));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection.pool()).await?;
        Ok(())
    }

    /// What is left of it goes, after its database.
    pub(crate) async fn unmake(&self, case: &Case, connection: &ServerConnection) -> Outcome {
        let objects = case.objects();
        drop::drop_login(connection.pool(), &objects).await?;
        expect(tenants::set_state(&self.registry, case.tenant, InactiveState::Deleted).await? == Change::Made, "forget the tenant")
    }
}

fn expect(done: bool, what: &str) -> Outcome {
    if done { Ok(()) } else { Err(format!("the floor could not {what}").into()) }
}
