//! What a `School` object asks for, parsed and complete.
//!
//! Must not read the object: `crd::convert` in the operator makes these values from it.

use crate::names::{SchoolCode, SecretName};
use crate::placement::PlacementRequest;
use crate::tenant::{Person, Profile};

/// What the School object asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Desired {
    /// The object is being deleted. Needs no valid spec.
    Deleted(DeletionPolicy),
    /// The object exists and is not being deleted.
    Present(Box<DesiredSchool>),
}

/// What happens to the data when a School is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeletionPolicy {
    /// Close the database and keep it.
    Retain,
    /// Drop the database and the login.
    Delete,
}

/// What a School that is not being deleted asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DesiredSchool {
    /// The school's unique short name.
    pub code: SchoolCode,
    /// Name and contact, as the registry shows them.
    pub profile: Profile,
    /// The first administrator.
    pub admin: Person,
    /// Where the database should be placed.
    pub placement: PlacementRequest,
    /// The credentials Secret's name.
    pub secret: SecretName,
    /// `CONNECTION LIMIT` of the school's login.
    pub connection_limit: u16,
    /// The login is closed, the data kept.
    pub suspended: bool,
    /// The schema version this operator migrates databases to.
    pub schema: u32,
}
