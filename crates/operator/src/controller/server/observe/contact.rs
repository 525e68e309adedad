//! What a server answers over a new connection or the held one, or why it does not, in words that say what to do.
//!
//! Must query nothing but its identity from a server that is not the recorded one, too old, or lacks rights.

use std::sync::Arc;

use domain::condition::Reason;
use domain::names::ServerName;
use domain::server::identity::ServerIdentity;
use domain::server::observed::{Identity, Obstacle, ServerFacts};
use postgres::session::{self, Credentials, Purpose};
use provisioning::server::identity::{self, Rights};
use provisioning::server::prepare::{self, Preparation};
use provisioning::server::{collation, template};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use telemetry::logs::chain;
use tokio::time::Instant;

use super::{Contact, claimants};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::server_connection::ServerConnection;
use crate::controller::watch;
use crate::crd::DatabaseServer;
use crate::crd::server::DatabaseServerStatus;

/// What is wrong with an address that is a connection pooler's, and what to do.
const POOLER: &str = "spec.host and spec.port lead to a connection pooler; give the PostgreSQL server's own address";
/// No connection is left, or only reserved ones.
const FULL: &str = "53300";
/// The startup packet is refused, as poolers do.
const PROTOCOL_VIOLATION: &str = "08P01";
/// A server that told its system identifier once, and bears no marker yet.
const UNTOLD: &str = "the server does not tell its system identifier any more, by which it is recorded, so it may be another one and nothing is touched; \
                      in its maintenance database, grant the admin login EXECUTE on function pg_catalog.pg_control_system()";
/// For what has no words of its own.
const NO_AGREEMENT: &str = "TLS as spec.tls asks for cannot be agreed on";

pub(super) async fn observe(
    ctx: &Context,
    object: &DatabaseServer,
    name: &ServerName,
    connection: Arc<ServerConnection>,
) -> Result<Result<Contact, Obstacle>> {
    let requested = watch::requested(object);
    if let Some(refused) = ctx.refused_logins.too_early(name, &connection, requested, Instant::now()) {
        return Ok(Err(refused));
    }
    let options = session::options(&connection.endpoint, &connection.admin, &connection.maintenance, Purpose::Operator);
    let source = Source { ctx, object, name, full: false };
    let mut conn = match session::connect(&options, "connecting to the server").await {
        Ok(conn) => conn,
        Err(error) => {
            tracing::debug!(error = chain(&error), "the server cannot be connected to");
            let refused = obstacle(&error);
            if matches!(refused.reason, Reason::AuthenticationFailed | Reason::AdminSecretInvalid) {
                ctx.refused_logins.record(name, &connection, requested, refused.clone(), Instant::now());
            } else {
                ctx.refused_logins.forget(name);
            }
            return if error.is(FULL) { over_held(Source { full: true, ..source }, connection, refused).await } else { Ok(Err(refused)) };
        }
    };
    ctx.refused_logins.forget(name);
    let answered = answered(source, Arc::clone(&connection), &mut conn).await;
    // What was answered counts, whether or not the connection ends cleanly.
    let _ = tokio::time::timeout(session::CONNECT_TIMEOUT, conn.close()).await;
    if let Ok(Ok(Contact { facts: ServerFacts { identity: Identity::Same, taken_by: None, .. }, .. })) = &answered {
        connection.keep_held().await;
    }
    answered
}

/// A server that lets nobody else in is observed over the session that the operator holds. Without one it is as `refused` says.
async fn over_held(source: Source<'_>, connection: Arc<ServerConnection>, refused: Obstacle) -> Result<Result<Contact, Obstacle>> {
    let held = tokio::time::timeout(session::CONNECT_TIMEOUT, connection.observing().acquire()).await;
    match held {
        Ok(Ok(mut held)) => answered(source, connection, &mut held).await,
        Ok(Err(_)) | Err(_) => Ok(Err(refused)),
    }
}

async fn answered(source: Source<'_>, connection: Arc<ServerConnection>, conn: &mut PgConnection) -> Result<Result<Contact, Obstacle>> {
    match query(source, connection, conn).await {
        Err(Error::Postgres(provisioning::server::Error::Sql(error))) if error.is_unreachable() => Ok(Err(obstacle(&error))),
        answered => answered,
    }
}

/// What is observed, and how.
#[derive(Clone, Copy)]
struct Source<'a> {
    ctx: &'a Context,
    object: &'a DatabaseServer,
    name: &'a ServerName,
    /// Over the session that is held, because the server lets no other in.
    full: bool,
}

async fn query(source: Source<'_>, connection: Arc<ServerConnection>, conn: &mut PgConnection) -> Result<Result<Contact, Obstacle>> {
    let Source { ctx, object, name, full } = source;
    if !session::has_its_settings(conn, Purpose::Operator).await.map_err(provisioning::server::Error::from)? {
        return Ok(Err(Obstacle {
            reason: Reason::PoolerInBetween,
            message: format!("{POOLER}: the settings that a session asks for do not reach the server"),
        }));
    }
    let identity = identity::identify(conn).await?;
    let recorded = object.status.as_ref().map(DatabaseServerStatus::identity).unwrap_or_default();
    let Some(known) = ServerIdentity::compare(&recorded, &identity.of_server) else {
        return Ok(Err(Obstacle { reason: Reason::InsufficientPrivilege, message: UNTOLD.to_owned() }));
    };
    let password = ctx.keyring.migrator_password(ctx.cluster, derived_from(&recorded, &identity.of_server, known))?;
    let migrator = Credentials { username: provisioning::server::MIGRATOR.to_owned(), password };
    let mut facts = ServerFacts {
        identity: known,
        taken_by: claimants::earlier_claimant(ctx, object, name, known, &identity.of_server),
        supported: identity.version_num >= identity::OLDEST_VERSION,
        lacking: lacking(identity.rights),
        writable: !identity.read_only,
        full,
        has_marker: identity.of_server.marker.is_some(),
        roles: false,
        closed: false,
        template: false,
        stale: false,
    };
    let (mut open_databases, mut stale_collations) = (Vec::new(), Vec::new());
    if known != Identity::Other && facts.supported && facts.lacking.is_empty() {
        let fingerprint = ctx.keyring.migrator_fingerprint(ctx.cluster, &migrator.password)?;
        let desired = prepare::DesiredRoles { cluster: ctx.cluster, password: &migrator.password, fingerprint: &fingerprint };
        let Preparation { roles, open_databases: open, closable } = prepare::observe(conn, &desired).await?;
        let digest = ctx.migrations.digest();
        let (template, stale) = (template::exists(conn, digest).await?, template::stale(conn, digest).await?);
        facts = ServerFacts { roles, closed: !closable, template, stale, ..facts };
        (open_databases, stale_collations) = (open, collation::stale(conn).await?);
    }
    Ok(Ok(Contact { connection, identity, migrator, open_databases, stale_collations, facts }))
}

/// What the migrator's password is derived from: what is recorded of the server, or will be.
fn derived_from<'a>(recorded: &'a ServerIdentity, answered: &'a ServerIdentity, known: Identity) -> &'a str {
    let own = match known {
        Identity::Same => recorded.system.as_deref().or(answered.text()).or(recorded.text()),
        Identity::Unmarked | Identity::Unrecorded | Identity::Other => answered.text(),
    };
    // A server without any identity gets its marker before it gets a role with a password.
    own.unwrap_or_default()
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
        Some("42501") => (
            Reason::InsufficientPrivilege,
            "the admin login may not connect to its maintenance database; as the database's owner, grant it CONNECT".to_owned(),
        ),
        Some(FULL) => (
            Reason::TooManyConnections,
            "the server lets nobody else connect (SQLSTATE 53300); end sessions, raise max_connections, or reserve connections for the admin"
                .to_owned(),
        ),
        Some(PROTOCOL_VIOLATION) => (Reason::PoolerInBetween, format!("{POOLER}: it refuses what a session asks for (SQLSTATE 08P01)")),
        Some(code) => {
            (Reason::DatabaseUnreachable, format!("the server refuses connections (SQLSTATE {code}); it is tried again every second"))
        }
        None if error.is_tls() => (
            Reason::TlsFailed,
            format!("{}; correct spec.tls, the CA Secret or the server's certificate", error.tls_cause().unwrap_or(NO_AGREEMENT)),
        ),
        None => (
            Reason::DatabaseUnreachable,
            "the server does not answer under spec.host and spec.port; it is tried again every second".to_owned(),
        ),
    };
    Obstacle { reason, message }
}
