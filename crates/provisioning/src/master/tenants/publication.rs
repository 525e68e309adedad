//! What a tenant's row should hold once its school is served.
//!
//! Must not keep a password in clear longer than the publication that carries it to be sealed.

use domain::tenant::{Profile, TenantState};
use postgres::session::Credentials;
use registry::route::{PoolSettings, Route};
use secrecy::SecretString;

use crate::master::TenantRef;

/// How the API pools the connections of every school, except for their number, which each School sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolDefaults {
    /// Seconds to connect.
    pub connect_timeout_seconds: u16,
    /// Seconds that a statement may take.
    pub command_timeout_seconds: u16,
    /// Connections are kept for the next request.
    pub enabled: bool,
}

impl PoolDefaults {
    /// One school's settings, with at most `size` connections.
    #[must_use]
    pub fn with_size(self, size: u16) -> PoolSettings {
        let Self { connect_timeout_seconds, command_timeout_seconds, enabled: pooling } = self;
        PoolSettings { size, connect_timeout_seconds, command_timeout_seconds, pooling }
    }
}

/// What a tenant's row should hold.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The tenant, and the School that it is written for.
    pub tenant: TenantRef,
    /// Name and contact.
    pub profile: Profile,
    /// Where the database is.
    pub route: Route,
    /// The login's password, to be sealed; none leaves the row's credentials as they are, for a tenant that is not served.
    pub password: Option<SecretString>,
    /// The schema version of the database.
    pub schema_version: u32,
    /// Any but [`TenantState::Deleted`], which only [`super::set_state`] writes.
    pub state: TenantState,
}

impl Publication {
    /// What is sealed.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        let password = self.password.clone()?;
        Some(Credentials { username: self.route.login.to_string(), password })
    }
}
