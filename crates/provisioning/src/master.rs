//! The operator's side of the master database: making it, and writing tenants, accounts and sealed credentials.
//!
//! Must not touch a school's database. Every write names the School that it is for and changes nothing of another's.

mod admin_session;
pub mod api_login;
pub mod bootstrap;
pub mod changes;
mod error;
pub mod keyring;
pub mod tenants;
pub mod users;

use domain::names::{ClusterUid, SchoolUid, TenantId};

pub use self::bootstrap::bootstrap;
pub use self::error::{Error, Result};

/// A tenant and the School object that it is written for; a row of another School is never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TenantRef {
    /// The registry's key.
    pub id: TenantId,
    /// `metadata.uid` of the School.
    pub school: SchoolUid,
    /// The cluster that the School is in.
    pub cluster: ClusterUid,
}
