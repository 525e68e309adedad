//! Who a token speaks for, in the API's own words.
//!
//! Must not know the form of a token: `reading` does.

use chrono::{DateTime, Utc};
use domain::names::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An account in the registry, or somebody whom another issuer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// The main role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Role {
    /// Runs a school.
    SchoolAdmin,
    /// Teaches in one.
    Teacher,
    /// Looks after the children's health.
    HealthStaff,
    /// A child's parent or whoever stands for one.
    Guardian,
    /// Sees and changes nothing.
    ReadOnly,
    /// Runs the platform; of no school.
    PlatformAdmin,
}

impl Role {
    const ALL: [(Self, &'static str); 6] = [
        (Self::SchoolAdmin, "SchoolAdmin"),
        (Self::Teacher, "Teacher"),
        (Self::HealthStaff, "HealthStaff"),
        (Self::Guardian, "Guardian"),
        (Self::ReadOnly, "ReadOnly"),
        (Self::PlatformAdmin, "PlatformAdmin"),
    ];

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(role, known)| (known == name).then_some(role))
    }

    /// Its name, in the registry, in tokens and in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(role, name)| (role == self).then_some(name)).unwrap_or_default()
    }
}

/// Platform staff acting in a school.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// Why, in their own words.
    pub reason: String,
    /// Who.
    pub by: UserId,
}

/// Who a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// Of which school; none exactly for a `PlatformAdmin` who does not act for one.
    pub tenant: Option<TenantId>,
    /// The account's role; none for another issuer's tokens, of whom the school's own tables decide.
    pub role: Option<Role>,
    /// When the token was issued, by its issuer's clock, to the second.
    pub issued_at: DateTime<Utc>,
    /// The token's `jti`, or `-` where another issuer sets none.
    pub token_id: String,
    /// Set when platform staff act in a school.
    pub impersonation: Option<Impersonation>,
    /// Nothing but a change of password is allowed.
    pub must_change_password: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_name_in_json_too() {
        for (role, name) in Role::ALL {
            assert_eq!((Role::parse(name), role.name()), (Some(role), name));
            assert_eq!(serde_json::to_value(role).unwrap(), name);
        }
        assert_eq!(Role::parse("schooladmin"), None);
    }
}
