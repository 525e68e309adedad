//! From objects to the domain's types and back: text becomes names here, and absent optional fields become their meaning.
//!
//! Must read nothing but the deletion policy of a School that is being deleted, so that one with an unusable spec can still be deleted. Anything but a plain
//! `Delete` keeps the data.

mod names;
mod school;
mod server;

pub use names::{RecordError, names, recorded, recorded_server};
pub use school::{DEFAULT_CONNECTION_LIMIT, derived_names, desired, registration, reset_request, secret_template};
pub use server::{DEFAULT_CA_KEY, DEFAULT_PORT, ServerSecrets, secrets, spec};

use domain::names::Invalid;
use domain::retry::Class;

/// A spec that the API server let through and that cannot be used all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} cannot be used")]
pub struct SpecError {
    /// The field's path, such as `spec.code`.
    pub field: &'static str,
    /// What is wrong with it.
    pub source: Invalid,
}

impl SpecError {
    /// Always [`Class::Invalid`]: only a change of the object helps.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Invalid
    }
}

/// Names the field in which a text is not what it should be.
trait At<T> {
    fn at(self, field: &'static str) -> Result<T, SpecError>;
}

impl<T> At<T> for Result<T, Invalid> {
    fn at(self, field: &'static str) -> Result<T, SpecError> {
        self.map_err(|source| SpecError { field, source })
    }
}

fn tier(tier: super::school::Tier) -> Result<domain::tier::Tier, Invalid> {
    use super::school::Tier as Written;
    use domain::tier::Tier;
    match tier {
        Written::Premium => Ok(Tier::Premium),
        Written::Standard => Ok(Tier::Standard),
        Written::Basic => Ok(Tier::Basic),
        Written::Unknown => Err(Invalid { what: "tier", why: "must be premium, standard or basic" }),
    }
}

impl From<domain::tier::Tier> for super::school::Tier {
    fn from(tier: domain::tier::Tier) -> Self {
        use domain::tier::Tier;
        match tier {
            Tier::Premium => Self::Premium,
            Tier::Standard => Self::Standard,
            Tier::Basic => Self::Basic,
        }
    }
}
