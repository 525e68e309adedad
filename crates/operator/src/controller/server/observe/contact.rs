//! What a server answers over a connection of its own, or why it does not, in words that say what to do.
//!
//! Must query nothing but its identity from a server that is not the recorded one, too old, or lacks rights.

use std::sync::Arc;

use domain::condition::Reason;
use domain::names::ServerName;
use domain::server::observed::{Identity, Obstacle, ServerFacts};
use kube::ResourceExt as _;
use postgres::session::{self, Credentials, Purpose};
use provisioning::server::identity::{self, Rights};
use provisioning::server::prepare::{self, Preparation};
use provisioning::server::template;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use telemetry::logs::chain;
use tokio::time::Instant;

use super::Contact;
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::server_cache::ServerConnection;
use crate::controller::watch;
use crate::crd::DatabaseServer;

/// What a server says that refuses a login: password, rule in `pg_hba.conf`, database.
const LOGIN_REFUSED: [&str; 3] = ["28P01", "28000", "3D000"];

pub(super) async fn observe(
    ctx: &Context,
    object: &DatabaseServer,
    connection: Arc<ServerConnection>,
) -> Result<Result<Contact, Obstacle>> {
    let Ok(name) = ServerName::parse(&object.name_any()) else { return Err(Error::Bug("a server has no name".to_owned())) };
    let requested = watch::requested(object);
    if let Some(refused) = ctx.refused_logins.too_early(&name, &connection, requested, Instant::now()) {
        return Ok(Err(refused));
    }
    let options = session::options(&connection.endpoint, &connection.admin, &connection.maintenance, Purpose::Operator);
    let mut conn = match session::connect(&options, "connecting to the server").await {
        Ok(conn) => conn,
        Err(error) => {
            tracing::debug!(error = chain(&error), "the server cannot be connected to");
            let obstacle = obstacle(&error);
            if error.sqlstate().is_some_and(|code| LOGIN_REFUSED.contains(&code.as_str())) {
                ctx.refused_logins.record(&name, &connection, requested, obstacle.clone(), Instant::now());
            } else {
                ctx.refused_logins.forget(&name);
            }
            return Ok(Err(obstacle));
        }
    };
    ctx.refused_logins.forget(&name);
    let answered = query(ctx, object, connection, &mut conn).await;
    // What was answered counts, whether or not the connection ends cleanly.
    let _ = tokio::time::timeout(session::CONNECT_TIMEOUT, conn.close()).await;
    match answered {
        Err(Error::Postgres(provisioning::server::Error::Sql(error))) if error.is_unreachable() => Ok(Err(obstacle(&error))),
        answered => answered.map(Ok),
    }
}

async fn query(ctx: &Context, object: &DatabaseServer, connection: Arc<ServerConnection>, conn: &mut PgConnection) -> Result<Contact> {
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
    if known != Identity::Other && facts.supported && facts.lacking.is_empty() {
        let fingerprint = ctx.keyring.migrator_fingerprint(ctx.cluster, &migrator.password)?;
        let desired = prepare::DesiredRoles { cluster: ctx.cluster, password: &migrator.password, fingerprint: &fingerprint };
        let Preparation { roles, open_databases: open, closable } = prepare::observe(conn, &desired).await?;
        let digest = ctx.migrations.digest();
        let (template, stale) = (template::exists(conn, digest).await?, template::stale(conn, digest).await?);
        facts = ServerFacts { roles, closed: !closable, template, stale, ..facts };
        open_databases = open;
    }
    Ok(Contact { connection, identity, migrator, open_databases, facts })
}

fn lacking(rights: Rights) -> Vec<&'static str> {
    let needed = [(rights.create_db, "CREATEDB"), (rights.create_role, "CREATEROLE")];
    needed.into_iter().filter(|(has, _)| !has && !rights.superuser).map(|(_, name)| name).collect()
}

fn obstacle(error: &postgres::Error) -> Obstacle {
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
