//! Observing one server: its object, its Secrets, and what it answers over a new connection, so that address, TLS and password are proven each time; over the
//! held one while the server lets nobody else in.
//!
//! Must not change anything but this process's memory of refused logins and its held sessions.

mod claimants;
mod connection;
mod contact;

use std::sync::Arc;

use domain::condition::Reason;
use domain::names::ServerName;
use domain::server::DesiredServer;
use domain::server::observed::{ObservedServer, Obstacle, ServerFacts};
use kube::ResourceExt as _;
use postgres::session::Credentials;
use provisioning::server::identity;

use super::FINALIZER;
use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::controller::server_connection::ServerConnection;
use crate::crd::{DatabaseServer, convert};

/// Everything known of one server.
pub struct Observation {
    /// The object, as last read or written.
    pub object: DatabaseServer,
    /// Its name.
    pub name: ServerName,
    /// What it asks for; none when that cannot be used and no longer matters.
    pub desired: Option<DesiredServer>,
    /// What the server answered, or why not.
    pub contact: Result<Contact, Obstacle>,
}

/// What a server answered.
pub struct Contact {
    /// How to connect to it.
    pub connection: Arc<ServerConnection>,
    /// Who it is.
    pub identity: identity::Identity,
    /// The migrator's login on it.
    pub migrator: Credentials,
    /// Databases that PUBLIC may connect to and that the admin may not close.
    pub open_databases: Vec<String>,
    /// Schools' databases whose text indexes may be out of order.
    pub stale_collations: Vec<String>,
    /// For the planner.
    pub facts: ServerFacts,
}

/// Observes everything.
///
/// # Errors
/// When the spec cannot be used, Kubernetes does not answer, or the server answered but not what was asked.
pub async fn observe(ctx: &Context, object: DatabaseServer) -> Result<Observation> {
    let name = ServerName::parse(&object.name_any()).map_err(|source| convert::SpecError { field: "metadata.name", source })?;
    if is_unneeded(ctx, &object, &name) {
        let desired = convert::spec(&object).ok();
        let message = "no school is on the server, and its object goes".to_owned();
        return Ok(Observation { object, name, desired, contact: Err(Obstacle { reason: Reason::Terminating, message }) });
    }
    let desired = convert::spec(&object)?;
    let contact = match connection::observe(ctx, &object, &name, &desired).await? {
        Ok(connection) => contact::observe(ctx, &object, &name, connection).await?,
        Err(obstacle) => Err(obstacle),
    };
    Ok(Observation { object, name, desired: Some(desired), contact })
}

/// The object is being deleted and no School is on the server: whatever is wrong with its spec, its Secrets or the server must not keep it.
fn is_unneeded(ctx: &Context, object: &DatabaseServer, name: &ServerName) -> bool {
    object.metadata.deletion_timestamp.is_some() && ctx.reservations_loaded.initialized() && ctx.reservations.schools_on(name) == 0
}

impl Observation {
    /// The planner's view of it.
    #[must_use]
    pub fn facts(&self, ctx: &Context) -> ObservedServer {
        ObservedServer {
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            finalizer: self.object.finalizers().iter().any(|present| present == FINALIZER),
            in_use: ctx.reservations.schools_on(&self.name) > 0,
            contact: self.contact.as_ref().map(|contact| contact.facts.clone()).map_err(Clone::clone),
        }
    }
}
