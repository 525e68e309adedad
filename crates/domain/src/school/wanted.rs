//! What is wanted of one School, parsed and complete. Making one from a `School` object is `crd::convert`'s work.

use crate::names::{SchoolCode, SecretName, ServerName};

/// What the School object asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// The object is being deleted. Needs no valid spec.
    Gone(OnDelete),
    /// The object stands.
    Kept(Box<Ask>),
}

/// What happens to the data when a School is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnDelete {
    /// Close the database and keep it.
    Retain,
    /// Drop the database and the login.
    Delete,
}

/// What a standing School asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// The school's unique short name.
    pub code: SchoolCode,
    /// Name and contact, as the registry shows them.
    pub profile: Profile,
    /// The first administrator.
    pub admin: Person,
    /// Where the database should go.
    pub placement: Request,
    /// The credentials Secret's name.
    pub secret: SecretName,
    /// `CONNECTION LIMIT` of the school's login.
    pub connection_limit: u16,
    /// The login is closed, the data kept.
    pub suspended: bool,
    /// The schema version this operator brings databases to.
    pub schema: u32,
}

/// Name and contact of a school.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Free text, never used as an identifier.
    pub name: String,
    /// The school's e-mail address.
    pub email: String,
    /// The school's telephone number.
    pub phone_number: Option<String>,
}

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// Full name.
    pub name: String,
    /// E-mail address, unique over all schools without regard to case.
    pub email: String,
}

/// Where a School asks to be placed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The tier a server must offer.
    pub tier: Tier,
    /// The one server it may go to.
    pub server: Option<ServerName>,
}

/// A class of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// The best servers.
    Premium,
    /// The usual.
    Standard,
    /// For schools with few resources.
    Basic,
}

impl Tier {
    /// The word used in the spec, in metrics and in messages.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Premium => "premium",
            Self::Standard => "standard",
            Self::Basic => "basic",
        }
    }
}
