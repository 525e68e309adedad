//! The actions on a `DatabaseServer`, grouped by where they land, and what must hold there.
//!
//! Labels are derived from the names of the variants, so that none is forgotten. Nothing here may land on a server whose identity is not the recorded one.

use strum::{IntoStaticStr, VariantNames};

use super::plan::{Identity, ObservedServer};

/// One change to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// On the `DatabaseServer` object.
    Object(ObjectAction),
    /// On the tenant server.
    Server(ServerAction),
}

/// An action on the `DatabaseServer` object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", prefix = "server_")]
pub enum ObjectAction {
    /// Add our finalizer: before anything is created on the server.
    AddFinalizer,
    /// Record the system identifier in the status: before anything is created on the server.
    RecordIdentity,
    /// Remove our finalizer, so that the object can go.
    RemoveFinalizer,
}

/// An action on the tenant server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", prefix = "server_")]
pub enum ServerAction {
    /// Create `tenant_owner`, `tenant_app` and `dailycare_migrator`.
    PrepareRoles,
    /// Take CONNECT on the maintenance databases from PUBLIC.
    CloseMaintenance,
    /// Build and freeze the template of the operator's schema.
    BuildTemplate,
    /// Drop templates and spares of other schemas.
    DropStale,
}

impl From<ObjectAction> for Action {
    fn from(action: ObjectAction) -> Self {
        Self::Object(action)
    }
}

impl From<ServerAction> for Action {
    fn from(action: ServerAction) -> Self {
        Self::Server(action)
    }
}

impl Action {
    /// The action's name in logs, metrics and fault points.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Object(action) => action.into(),
            Self::Server(action) => action.into(),
        }
    }

    /// The label of every action, for the test that demands a crash before and after each.
    #[must_use]
    pub fn labels() -> Vec<&'static str> {
        [ObjectAction::VARIANTS, ServerAction::VARIANTS].concat()
    }
}

/// Whether `action` may land. Written apart from the planner; the engine checks it before every action.
#[must_use]
pub fn admissible(observed: &ObservedServer, action: Action) -> bool {
    let facts = observed.contact.as_ref().ok().filter(|_| observed.finalizer && !observed.deleting);
    match action {
        Action::Object(ObjectAction::AddFinalizer) => !observed.finalizer && !observed.deleting,
        Action::Object(ObjectAction::RemoveFinalizer) => observed.finalizer && observed.deleting && !observed.in_use,
        Action::Object(ObjectAction::RecordIdentity) => facts.is_some_and(|facts| facts.identity == Identity::Unrecorded),
        Action::Server(action) => facts.is_some_and(|facts| {
            let usable = facts.identity == Identity::Same && facts.supported && facts.lacking.is_empty() && facts.writable;
            usable
                && match action {
                    ServerAction::PrepareRoles => true,
                    ServerAction::CloseMaintenance | ServerAction::BuildTemplate => facts.roles,
                    ServerAction::DropStale => facts.roles && facts.template,
                }
        }),
    }
}
