//! Looking at one server: its object, its Secrets, and what it answers over a fresh connection, so that address, TLS and password are proven each time.
//!
//! Must not change anything.

use std::sync::Arc;

use domain::condition::Reason;
use domain::names::ServerName;
use domain::server::plan::{Identity, ObservedServer, Obstacle, ServerFacts};
use domain::server::{DesiredServer, TlsMode};
use kube::ResourceExt as _;
use postgres::session::{self, Credentials, Endpoint, Purpose, Tls};
use provisioning::server::identity::{self, Rights};
use provisioning::server::prepare::{self, Preparation};
use provisioning::server::template;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use telemetry::logs::chain;

use super::FINALIZER;
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::server_cache::ServerConnection;
use crate::crd::{DatabaseServer, convert};
use crate::kubernetes::secrets;

/// The maintenance database when the admin Secret names none.
const MAINTENANCE: &str = "postgres";

/// Everything known of one server.
pub struct Observation {
    /// The object, as last read or written.
    pub object: DatabaseServer,
    /// Its name.
    pub name: ServerName,
    /// What it asks for.
    pub spec: DesiredServer,
    /// What the server answered, or why not.
    pub contact: Result<Answer, Obstacle>,
}

/// What a server answered.
pub struct Answer {
    /// How it was reached.
    pub connection: Arc<ServerConnection>,
    /// Who it is.
    pub identity: identity::Identity,
    /// The migrator's login on it.
    pub migrator: Credentials,
    /// Databases that PUBLIC may enter and that we may not close.
    pub open_databases: Vec<String>,
    /// For the planner.
    pub facts: ServerFacts,
}

/// Looks at everything.
///
/// # Errors
/// When the spec cannot be used, Kubernetes does not answer, or the server answered but not what was asked.
pub async fn observe(ctx: &Context, object: DatabaseServer) -> Result<Observation> {
    let name = ServerName::parse(&object.name_any()).map_err(|source| convert::SpecError { field: "metadata.name", source })?;
    let spec = convert::spec(&object)?;
    let contact = match connection(ctx, &object, &name, &spec).await? {
        Ok(connection) => contact(ctx, &object, connection).await?,
        Err(failure) => Err(failure),
    };
    Ok(Observation { object, name, spec, contact })
}

impl Observation {
    /// The planner's view of it.
    #[must_use]
    pub fn facts(&self, ctx: &Context) -> ObservedServer {
        ObservedServer {
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            finalizer: self.object.finalizers().iter().any(|present| present == FINALIZER),
            in_use: ctx.reservations.schools_on(&self.name) > 0,
            contact: self.contact.as_ref().map(|answer| answer.facts.clone()).map_err(Clone::clone),
        }
    }
}

/// How to reach the server: what is known already, if nothing of it changed.
async fn connection(
    ctx: &Context,
    object: &DatabaseServer,
    name: &ServerName,
    spec: &DesiredServer,
) -> Result<Result<Arc<ServerConnection>, Obstacle>> {
    let referred = convert::secrets(object)?;
    let Some(admin) = secrets::read(&ctx.client, &ctx.namespace, referred.admin.as_str()).await? else {
        return Ok(lacks(&format!(
            "Secret {} is not in namespace {}; create it with keys username and password",
            referred.admin, ctx.namespace
        )));
    };
    let (Some(username), Some(password)) = (admin.value("username"), admin.password()) else {
        return Ok(lacks(&format!("Secret {} lacks the key username or password", referred.admin)));
    };
    let pem = match (&referred.authority, spec.tls.verifies()) {
        (Some((secret, key)), true) => {
            match secrets::read(&ctx.client, &ctx.namespace, secret.as_str()).await?.and_then(|ca| ca.value(key)) {
                Some(pem) => pem.expose_secret().as_bytes().to_vec(),
                None => {
                    return Ok(lacks(&format!(
                        "Secret {secret} in namespace {} lacks the key {key} with the authority's certificates",
                        ctx.namespace
                    )));
                }
            }
        }
        _ => Vec::new(),
    };
    let tls = match spec.tls {
        TlsMode::Disable => Tls::Disable,
        TlsMode::Require => Tls::Require,
        TlsMode::VerifyCa => Tls::VerifyCa(pem),
        TlsMode::VerifyFull => Tls::VerifyFull(pem),
    };
    let endpoint = Endpoint { host: spec.host.to_string(), port: spec.port, tls };
    let admin_login = Credentials { username: username.expose_secret().to_owned(), password };
    let maintenance = admin.value("database").map_or_else(|| MAINTENANCE.to_owned(), |name| name.expose_secret().to_owned());
    let before = ctx
        .servers
        .get(name)
        .and_then(|known| known.connection)
        .filter(|connection| connection.is_to(&endpoint, &admin_login, &maintenance));
    Ok(Ok(before.unwrap_or_else(|| Arc::new(ServerConnection::new(endpoint, admin_login, maintenance, ctx.concurrency.per_server())))))
}

fn lacks<T>(message: &str) -> Result<T, Obstacle> {
    Err(Obstacle { reason: Reason::AdminSecretInvalid, message: message.to_owned() })
}

/// Asks over a connection of its own.
async fn contact(ctx: &Context, object: &DatabaseServer, connection: Arc<ServerConnection>) -> Result<Result<Answer, Obstacle>> {
    let options = session::options(&connection.endpoint, &connection.admin, &connection.maintenance, Purpose::Operator);
    let mut conn = match session::connect(&options, "connecting to the server").await {
        Ok(conn) => conn,
        Err(error) => {
            tracing::debug!(error = chain(&error), "no contact");
            return Ok(Err(failure(&error)));
        }
    };
    let answered = answer(ctx, object, connection, &mut conn).await;
    // What was answered stands, whether or not the server hears the farewell.
    let _ = tokio::time::timeout(session::CONNECT_TIMEOUT, conn.close()).await;
    match answered {
        Err(Error::Postgres(provisioning::server::Error::Sql(error))) if error.is_unreachable() => Ok(Err(failure(&error))),
        answered => answered.map(Ok),
    }
}

async fn answer(ctx: &Context, object: &DatabaseServer, connection: Arc<ServerConnection>, conn: &mut PgConnection) -> Result<Answer> {
    let identity = identity::identify(conn).await?;
    let recorded = object.status.as_ref().and_then(|status| status.system_identifier.as_deref());
    let known = match recorded {
        None => Identity::Unrecorded,
        Some(recorded) if recorded == identity.system_identifier => Identity::Same,
        Some(_) => Identity::Other,
    };
    let password = ctx.keyring.migrator_password(ctx.cluster, &identity.system_identifier)?;
    let migrator = Credentials { username: provisioning::server::MIGRATOR.to_owned(), password };
    let mut facts = ServerFacts {
        identity: known,
        supported: identity.version_num >= identity::OLDEST_VERSION,
        lacking: lacking(identity.rights),
        writable: !identity.read_only,
        roles: false,
        closed: false,
        template: false,
        stale: false,
    };
    let mut open_databases = Vec::new();
    // A server that is not ours, or too old, is asked nothing more.
    if known != Identity::Other && facts.supported && facts.lacking.is_empty() {
        let fingerprint = migrator_fingerprint(ctx, &migrator)?;
        let wanted = prepare::DesiredRoles { cluster: ctx.cluster, password: &migrator.password, fingerprint: &fingerprint };
        let Preparation { roles, open_databases: open, closable } = prepare::observe(conn, &wanted).await?;
        let digest = ctx.migrations.digest();
        facts = ServerFacts {
            roles,
            closed: !closable,
            template: template::exists(conn, digest).await?,
            stale: template::stale(conn, digest).await?,
            ..facts
        };
        open_databases = open;
    }
    Ok(Answer { connection, identity, migrator, open_databases, facts })
}

/// What the migrator's mark holds instead of its password.
///
/// # Errors
/// Never with a keyring that was read.
pub fn migrator_fingerprint(ctx: &Context, migrator: &Credentials) -> Result<String> {
    let cluster = domain::names::TenantId(ctx.cluster.0);
    Ok(ctx.keyring.fingerprint(cluster, &migrator.password)?)
}

fn lacking(rights: Rights) -> Vec<&'static str> {
    let wanted = [(rights.create_db, "CREATEDB"), (rights.create_role, "CREATEROLE")];
    wanted.into_iter().filter(|(has, _)| !has && !rights.superuser).map(|(_, name)| name).collect()
}

/// Why there was no contact, in words that say what to do.
fn failure(error: &postgres::Error) -> Obstacle {
    let (reason, message) = match error.sqlstate().as_deref() {
        Some("28P01" | "28000") => (
            Reason::AuthenticationFailed,
            "the server refuses the admin login; correct the admin Secret, or pg_hba.conf on the server".to_owned(),
        ),
        Some("3D000") => {
            (Reason::AdminSecretInvalid, "the maintenance database does not exist; correct the admin Secret's key database".to_owned())
        }
        Some(code) => {
            (Reason::DatabaseUnreachable, format!("the server refuses connections (SQLSTATE {code}); it is tried again every second"))
        }
        None if error.is_tls() => (
            Reason::TlsFailed,
            "TLS as spec.tls asks for cannot be agreed on; correct spec.tls, the CA Secret or the server's certificate".to_owned(),
        ),
        None => (
            Reason::DatabaseUnreachable,
            "the server does not answer under spec.host and spec.port; it is tried again every second".to_owned(),
        ),
    };
    Obstacle { reason, message }
}
