//! The actions on a `DatabaseServer`, grouped by where they land.
//!
//! Must not say when an action may land: that is [`super::admissible`]. Labels are derived from the names of the variants, so that none is forgotten.

use strum::{IntoStaticStr, VariantNames};

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
    /// Record who the server is in the status: before anything but the marker is created on it.
    RecordIdentity,
    /// Remove our finalizer, so that the object can go.
    RemoveFinalizer,
}

/// An action on the tenant server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", prefix = "server_")]
pub enum ServerAction {
    /// Leave a marker: before its identity is recorded if it tells no other.
    WriteMarker,
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
