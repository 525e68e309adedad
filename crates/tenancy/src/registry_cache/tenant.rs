//! One tenant as the API knows it, made from its row in the registry.
//!
//! A row that cannot be served makes a tenant without a target, with the reason. Must not show a password.

use std::sync::Arc;

use domain::names::{DatabaseName, ServerName, TenantId};
use postgres::session::Endpoint;
use registry::route::PoolSettings;
use registry::seal::{self, OpeningKeys};
use registry::tenants::TenantRow;

use crate::pools::Target;

/// A tenant as the registry had it at one moment. Never changed, only replaced.
#[derive(Clone, Debug)]
pub struct CachedTenant {
    /// Its identity.
    pub tenant: TenantId,
    /// The school's code.
    pub code: String,
    /// The school's name.
    pub name: String,
    /// The tenant's state.
    pub state: State,
    /// The registry's own number, which grows with every change of route, state or credentials, and goes back when the registry is restored.
    pub epoch: i64,
    /// The schema applied to its database.
    pub schema_version: Option<u32>,
    /// The server it was placed on.
    pub server: Option<ServerName>,
    /// Its database.
    pub database: Option<DatabaseName>,
    /// How its connections are pooled.
    pub pool: Option<PoolSettings>,
    /// Where connections go. Present exactly when the tenant is active and its row has no fault.
    pub target: Option<Arc<Target>>,
    /// Why it is not served although its state would allow it.
    pub fault: Option<Fault>,
    /// This process's number for the route, also in `target`: grows with every change of route, state or credentials, whatever the registry's number does.
    pub(super) route_epoch: i64,
    /// In which of the registry's histories, as this process counts them, the row was read.
    pub(super) era: u64,
    pub(super) change_seq: i64,
}

/// A tenant's state, in the registry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being created.
    Provisioning,
    /// Serving.
    Active,
    /// A person asked that the school is not served.
    Suspended,
    /// The platform does not serve it for a while. A state that only a newer release knows is treated the same.
    Moving,
    /// The School was deleted and the data is kept.
    Retained,
    /// Everything was deleted.
    Deleted,
}

/// Why a tenant's row cannot be served.
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

impl CachedTenant {
    /// `share` returns the one endpoint that all equal ones share.
    /// Its route has no number of this process yet.
    pub(super) fn new(row: &TenantRow, era: u64, opening: &OpeningKeys, share: impl FnOnce(&Endpoint) -> Arc<Endpoint>) -> Self {
        let state = State::parse(&row.state);
        let (target, fault) = match state {
            None => (None, Some(Fault::UnknownState)),
            Some(State::Active) => match target(row, opening, share) {
                Ok(target) => (Some(Arc::new(target)), None),
                Err(fault) => (None, Some(fault)),
            },
            Some(State::Provisioning | State::Suspended | State::Moving | State::Retained | State::Deleted) => (None, None),
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
            route_epoch: 0,
            era,
            change_seq: row.change_seq,
        }
    }

    /// With this process's number for its route.
    pub(super) fn numbered(mut self, route_epoch: i64) -> Self {
        self.route_epoch = route_epoch;
        if let Some(target) = &mut self.target {
            Arc::make_mut(target).epoch = route_epoch;
        }
        self
    }

    /// Callers may learn that it exists.
    pub(super) fn is_visible(&self) -> bool {
        !matches!(self.state, State::Retained | State::Deleted)
    }

    pub(super) fn visible(self: Arc<Self>) -> Option<Arc<Self>> {
        self.is_visible().then_some(self)
    }

    /// Whether it replaces `cached`: its row was written later, or its credentials could be opened only now. Of another history, the later one counts.
    pub(super) fn supersedes(&self, cached: &Self) -> bool {
        if self.era != cached.era {
            return self.era > cached.era;
        }
        self.change_seq > cached.change_seq || (self.change_seq == cached.change_seq && self.target.is_some() && cached.target.is_none())
    }

    /// Whether connections that were opened for `cached` are right for this one too. The registry's number says so within one history only.
    pub(super) fn keeps_route_of(&self, cached: &Self) -> bool {
        if self.era == cached.era {
            return self.epoch <= cached.epoch;
        }
        let same_target = match (&self.target, &cached.target) {
            (Some(target), Some(cached)) => target.leads_where(cached),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        (self.epoch, self.state) == (cached.epoch, cached.state) && same_target
    }
}

fn target(row: &TenantRow, opening: &OpeningKeys, share: impl FnOnce(&Endpoint) -> Arc<Endpoint>) -> Result<Target, Fault> {
    let (Some(route), Some(sealed)) = (&row.route, &row.sealed) else { return Err(Fault::NoRoute) };
    let credentials = opening.open(row.tenant, sealed).map_err(|error| match error {
        seal::Error::UnknownKey => Fault::UnknownKey,
        // Of these, `open` returns only the last two; the others are errors of reading a key file.
        seal::Error::NoKey
        | seal::Error::BadLine(_)
        | seal::Error::BadOpeningLine(_)
        | seal::Error::SealingKey(_)
        | seal::Error::OpeningKey(_)
        | seal::Error::Repeated(_)
        | seal::Error::Refused
        | seal::Error::Failed => Fault::Refused,
    })?;
    if credentials.username != route.login.as_str() {
        return Err(Fault::Refused);
    }
    Ok(Target::with_endpoint(share(&route.endpoint), row.tenant, row.epoch, route, credentials.password))
}

impl State {
    const ALL: [Self; 6] = [Self::Provisioning, Self::Active, Self::Suspended, Self::Moving, Self::Retained, Self::Deleted];

    /// The word in the registry and in the API's answers.
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
