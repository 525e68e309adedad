//! The master database: which schools exist, where each one's database is, and who may sign in.
//!
//! Must not touch a school's database or Kubernetes. Every write names the School that it is for and changes nothing of another's.

pub mod bootstrap;
mod error;
pub mod password;
pub mod route;
pub mod seal;
pub mod tenants;
pub mod users;

pub use bootstrap::bootstrap;
pub use error::{Error, Result};

use crate::domain::names::{ClusterUid, SchoolUid, TenantId};

/// A tenant and the School object that it is written for; a row of another School is never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The registry's key.
    pub tenant: TenantId,
    /// `metadata.uid` of the School.
    pub school: SchoolUid,
    /// The cluster that the School is in.
    pub cluster: ClusterUid,
}
