//! Accepting that the server of a `DatabaseServer` has another system identifier than the recorded one, as after `pg_upgrade`: once it is proven that
//! every school's database and login are on it under their ownership comments.
//!
//! Must not write to the server, but for the marker of one that tells nothing else, and must record nothing while anything is missing: the operator would take
//! the missing for lost.

use domain::names::{DatabaseName, LoginName, TenantId};
use domain::server::identity::ServerIdentity;
use domain::server::observed::{Identity, Obstacle};
use kube::ResourceExt as _;
use kube::api::ListParams;
use provisioning::master::tenants::{Occupant, occupants};
use provisioning::server::census::{self, Census};
use provisioning::server::identity::identify;
use provisioning::server::marker;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use super::context::Context;
use super::preview::{self, Settings};
use super::{error, server};
use crate::crd::DatabaseServer;
use crate::crd::server::DatabaseServerStatus;
use crate::kubernetes::{self, object, within};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The recorded identifier is the server's.
    Unneeded,
    /// Everything is there; the new identifier is recorded.
    Recorded {
        /// The identifier recorded before.
        before: String,
        /// The server's.
        now: String,
        /// Schools whose database and login were found.
        schools: usize,
    },
    /// Nothing was recorded, because these are not on the server under their ownership comments.
    Missing(Vec<Missing>),
}

/// A school's object that is not on the server under its ownership comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The tenant.
    pub tenant: TenantId,
    /// The database or login.
    pub name: String,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The preparation failed.
    #[error(transparent)]
    Preview(#[from] preview::Error),
    /// Kubernetes.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// Observing failed.
    #[error(transparent)]
    Observe(#[from] error::Error),
    /// The server cannot be used.
    #[error("{0}")]
    Obstacle(String),
    /// No identifier is recorded, so the operator will record the server's by itself.
    #[error("no identifier is recorded; the operator records the server's by itself")]
    Unrecorded,
    /// Another object has the server.
    #[error("DatabaseServer {0} has this server already")]
    Taken(String),
}

/// Compares the server with the registry and, when nothing is missing, records its identifier.
///
/// # Errors
/// When a source does not answer, or the object has no identifier to replace.
pub async fn accept_identity(settings: Settings, name: &str) -> Result<Acceptance, Error> {
    let ctx = preview::context(settings).await?;
    let object = within("reading the DatabaseServer", ctx.database_servers().get(name)).await?;
    let observation = server::observe::observe(&ctx, object).await?;
    let contact = observation.contact.as_ref().map_err(|Obstacle { message, .. }| Error::Obstacle(message.clone()))?;
    match contact.facts.identity {
        Identity::Unmarked | Identity::Unrecorded => return Err(Error::Unrecorded),
        Identity::Same => return Ok(Acceptance::Unneeded),
        Identity::Other => {}
    }
    let others = within("listing the DatabaseServers", ctx.database_servers().list(&ListParams::default())).await?;
    let is_recorded =
        |other: &&DatabaseServer| other.name_any() != name && recorded(other).is_of_the_same_server(&contact.identity.of_server);
    if let Some(other) = others.iter().find(is_recorded) {
        return Err(Error::Taken(other.name_any()));
    }
    let expected = occupants(&ctx.registry, ctx.cluster, &observation.name).await.map_err(error::Error::from)?;
    let found = take_census(&ctx, contact).await?;
    let missing: Vec<Missing> = expected.iter().flat_map(|occupant| missing(occupant, &found)).collect();
    if !missing.is_empty() {
        return Ok(Acceptance::Missing(missing));
    }
    let status = observation.object.status.clone().unwrap_or_default();
    let identity = identity_of(contact).await?;
    let text = |identity: &ServerIdentity| identity.text().unwrap_or_default().to_owned();
    let (before, now) = (text(&status.identity()), text(&identity));
    let status = status.of_server(identity);
    object::patch_status(&ctx.database_servers(), &observation.object, &status).await?;
    Ok(Acceptance::Recorded { before, now, schools: expected.len() })
}

/// Who the server is from now on. One that tells nothing gets a marker, now that everything on it is proven to be there.
async fn identity_of(contact: &server::observe::Contact) -> Result<ServerIdentity, Error> {
    let answered = &contact.identity.of_server;
    if !answered.is_empty() {
        return Ok(answered.clone());
    }
    marker::write(contact.connection.pool()).await.map_err(error::Error::from)?;
    let mut conn = acquire(contact).await?;
    Ok(identify(&mut conn).await.map_err(error::Error::from)?.of_server)
}

fn recorded(object: &DatabaseServer) -> ServerIdentity {
    object.status.as_ref().map(DatabaseServerStatus::identity).unwrap_or_default()
}

async fn acquire(contact: &server::observe::Contact) -> Result<PoolConnection<Postgres>, Error> {
    contact.connection.pool().acquire().await.map_err(|_| Error::Obstacle("the server does not answer any more".to_owned()))
}

async fn take_census(ctx: &Context, contact: &server::observe::Contact) -> Result<Census, Error> {
    let mut conn = acquire(contact).await?;
    Ok(census::take(&mut conn, ctx.cluster).await.map_err(error::Error::from)?)
}

/// The occupant's database and login, as far as they are not there.
fn missing(occupant: &Occupant, found: &Census) -> Vec<Missing> {
    let Occupant { tenant, database, login } = occupant;
    let has_database = |name: &DatabaseName| found.databases.iter().any(|(own, comment)| own == name.as_str() && comment.tenant == *tenant);
    let has_login = |name: &LoginName| found.logins.iter().any(|(own, comment)| own == name.as_str() && comment.tenant == *tenant);
    let absent = [(!has_database(database)).then(|| database.to_string()), (!has_login(login)).then(|| login.to_string())];
    absent.into_iter().flatten().map(|name| Missing { tenant: *tenant, name }).collect()
}
