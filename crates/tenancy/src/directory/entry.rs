//! One tenant as the API knows it, made from its row in the registry.
//!
//! A row that cannot be served makes an entry that does not serve, with the reason. Must not show a password.

use std::sync::Arc;

use domain::names::{DatabaseName, ServerName, TenantId};
use postgres::session::Endpoint;
use registry::route::PoolSettings;
use registry::seal::{self, OpeningKeys};
use registry::tenants::TenantRow;

use crate::pools::Target;

/// A tenant, as the registry said at one moment; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its identity.
    pub tenant: TenantId,
    /// The school's code.
    pub code: String,
    /// The school's name.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Grows with every change of route, state or credentials.
    pub epoch: i64,
    /// The schema applied to its database.
    pub schema_version: Option<u32>,
    /// The server it was placed on.
    pub server: Option<ServerName>,
    /// Its database.
    pub database: Option<DatabaseName>,
    /// How its connections are pooled.
    pub pool: Option<PoolSettings>,
    /// Where connections go; there exactly when the tenant is active and nothing is wrong with its row.
    pub target: Option<Arc<Target>>,
    /// Why it does not serve although its state alone would let it.
    pub fault: Option<Fault>,
    pub(super) change_seq: i64,
}

/// The registry's words for where a tenant is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being made.
    Provisioning,
    /// Serving.
    Active,
    /// Closed by wish.
    Suspended,
    /// Closed for a while by the platform; also what a word of a newer release is taken for.
    Moving,
    /// The School is gone, the data kept.
    Retained,
    /// All is gone.
    Deleted,
}

/// What is wrong with a tenant's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// A state that this program does not know.
    #[error("its state is unknown to this program")]
    UnknownState,
    /// Active without a complete route.
    #[error("its route is incomplete or malformed")]
    NoRoute,
    /// Sealed with a key that the key file does not hold.
    #[error("its credentials were sealed with a key that the key file does not hold")]
    UnknownKey,
    /// Another tenant's credentials, another login's, or altered ones.
    #[error("its sealed credentials are not its own, or were altered")]
    Refused,
}

impl Entry {
    /// `share` gives the endpoint that equal ones are replaced by.
    pub(super) fn of(row: &TenantRow, opening: &OpeningKeys, share: impl FnOnce(&Endpoint) -> Arc<Endpoint>) -> Self {
        let state = State::parse(&row.state);
        let (target, fault) = match state {
            None => (None, Some(Fault::UnknownState)),
            Some(State::Active) => match target(row, opening, share) {
                Ok(target) => (Some(Arc::new(target)), None),
                Err(fault) => (None, Some(fault)),
            },
            Some(_) => (None, None),
        };
        Self {
            tenant: row.tenant,
            code: row.code.clone(),
            name: row.name.clone(),
            state: state.unwrap_or(State::Moving),
            epoch: row.epoch,
            schema_version: row.schema_version,
            server: row.server.clone(),
            database: row.database.clone(),
            pool: row.route.as_ref().map(|route| route.pool),
            target,
            fault,
            change_seq: row.change_seq,
        }
    }

    /// Callers may know of it.
    pub(super) fn is_visible(&self) -> bool {
        !matches!(self.state, State::Retained | State::Deleted)
    }

    pub(super) fn visible(self: Arc<Self>) -> Option<Arc<Self>> {
        self.is_visible().then_some(self)
    }

    /// Says more than `known` does: it was written later, or could be opened meanwhile.
    pub(super) fn supersedes(&self, known: &Self) -> bool {
        self.change_seq > known.change_seq || (self.change_seq == known.change_seq && self.target.is_some() && known.target.is_none())
    }
}

fn target(row: &TenantRow, opening: &OpeningKeys, share: impl FnOnce(&Endpoint) -> Arc<Endpoint>) -> Result<Target, Fault> {
    let (Some(route), Some(sealed)) = (&row.route, &row.sealed) else { return Err(Fault::NoRoute) };
    let credentials = opening.open(row.tenant, sealed).map_err(|error| match error {
        seal::Error::UnknownKey => Fault::UnknownKey,
        _ => Fault::Refused,
    })?;
    if credentials.username != route.login.as_str() {
        return Err(Fault::Refused);
    }
    Ok(Target::at(share(&route.endpoint), row.tenant, row.epoch, route, credentials.password))
}

impl State {
    const ALL: [Self; 6] = [Self::Provisioning, Self::Active, Self::Suspended, Self::Moving, Self::Retained, Self::Deleted];

    /// The word in the registry and in answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Moving => "moving",
            Self::Retained => "retained",
            Self::Deleted => "deleted",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.label() == word)
    }
}
