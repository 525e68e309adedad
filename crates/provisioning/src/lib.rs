//! Everything done on a tenant server: preparing it, templates, staging, claiming, observing, access, migrating, dropping.
//!
//! Must not know Kubernetes or the registry, nor decide anything: each function checks its own precondition where the effect happens, does one
//! thing, and may be repeated. What bears no mark of ours is never altered. Sessions are expected to be opened with [`postgres::session::options`].

pub mod access;
pub mod borrow;
pub mod catalog;
pub mod claim;
pub mod drop;
mod error;
pub mod mark;
pub mod master;
pub mod migrate;
pub mod prepare;
pub mod scram;
mod send;
pub mod server;
mod sessions;
mod sql;
pub mod stage;
pub mod template;

pub use error::{Error, Object, Result};

use domain::names::{ClusterUid, DatabaseName, LoginName, TenantId};

/// Owns every tenant database and every object in one; nobody logs in as it.
pub const OWNER: &str = "tenant_owner";
/// The group of the schools' logins, which carries their rights inside a database.
pub const APP: &str = "tenant_app";
/// Logs in to run migrations, as a member of [`OWNER`] and of nothing else.
pub const MIGRATOR: &str = "dailycare_migrator";

/// One school's names on a server, and whose mark they must bear for an action to touch them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The school's database.
    pub database: DatabaseName,
    /// The school's login.
    pub login: LoginName,
    /// The tenant that the marks must name.
    pub tenant: TenantId,
    /// The cluster that the marks must name.
    pub cluster: ClusterUid,
}
