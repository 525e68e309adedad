//! Everything done on a tenant server: preparing it, templates, staging, claiming, observing, access, migrating, dropping.
//!
//! Must not know Kubernetes or the registry, and must not decide anything: each function checks its own precondition where the change happens, does one
//! thing, and may be repeated. A database or role without our ownership comment is never altered. Open the sessions with [`postgres::session::options`].

pub mod access;
pub mod catalog;
pub mod census;
pub mod claim;
pub mod collation;
pub mod drop;
mod error;
pub mod identity;
pub mod login;
pub mod marker;
pub mod migrate;
mod migrator_session;
pub mod ownership;
pub mod password;
pub mod prepare;
mod send;
pub mod session_guard;
mod sessions;
mod sql;
pub mod stage;
pub mod template;

use domain::names::{ClusterUid, DatabaseName, LoginName, TenantId};

pub use self::error::{Error, Object, Result};

/// Owns every tenant database and every object in one; nobody logs in as it.
pub const OWNER: &str = "tenant_owner";
/// The group of the schools' logins, which carries their rights inside a database.
pub const APP: &str = "tenant_app";
/// May connect to every school's database and to the maintenance databases, and to nothing in them; nobody logs in as it. People's monitoring and backup roles
/// are made members of it, because a right that is given to them directly is taken away again.
pub const MONITOR: &str = "dailycare_monitor";
/// Has no rights and no members: its comment says who the server is.
pub const MARKER: &str = "dailycare_identity";
/// Logs in to run migrations, as a member of [`OWNER`] and of nothing else.
pub const MIGRATOR: &str = "dailycare_migrator";

/// One school's database and login, and the tenant and cluster that their ownership comments must name before an action touches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantObjects {
    /// The school's database.
    pub database: DatabaseName,
    /// The school's login.
    pub login: LoginName,
    /// The tenant that the ownership comments must name.
    pub tenant: TenantId,
    /// The cluster that the ownership comments must name.
    pub cluster: ClusterUid,
}
