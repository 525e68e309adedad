//! Preparing a server: its fixed roles, and maintenance databases that only admins may enter.
//!
//! Reads first and writes only what differs. Must not change a role of a fixed name that has no ownership comment of our cluster.

mod databases;
mod roles;

use domain::names::ClusterUid;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;

pub use self::databases::{Closing, close_maintenance_databases};
pub use self::roles::prepare_roles;
use super::Result;

/// What the fixed roles should be.
#[derive(Clone, Copy, Debug)]
pub struct DesiredRoles<'a> {
    /// The cluster whose operator prepares the server.
    pub cluster: ClusterUid,
    /// The migrator's password.
    pub password: &'a SecretString,
    /// A keyed fingerprint of it, which the migrator's ownership comment keeps.
    pub fingerprint: &'a str,
}

/// How far a server is prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// The fixed roles are as desired, including the migrator's password, and the admin may act as the owner.
    pub roles: bool,
    /// Databases other than the tenants' that every role can enter or make temporary tables in.
    pub open_databases: Vec<String>,
    /// A maintenance database is left to close, and the admin may.
    pub closable: bool,
}

/// Observes how far a server is prepared. Changes nothing.
///
/// # Errors
/// [`NotOurs`](super::error::Error::NotOurs) when a role of a fixed name has no ownership comment of this cluster.
pub async fn observe(conn: &mut PgConnection, desired: &DesiredRoles<'_>) -> Result<Preparation> {
    let roles = roles::read(conn, desired).await?;
    let databases = databases::observe(conn).await?;
    let closable = databases.iter().any(databases::Admission::closable);
    let open = databases.into_iter().filter(|database| database.open).map(|database| database.name);
    Ok(Preparation { roles: roles.complete(), open_databases: open.collect(), closable })
}
