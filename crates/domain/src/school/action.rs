//! The actions on a School, grouped by where they land.
//!
//! Must not say when an action may land: that is [`super::admissible`]. Labels are derived from the names of the variants, so that none is forgotten.

use strum::{IntoStaticStr, VariantNames};

use crate::placement::Placement;
use crate::tenant::{InactiveState, TenantState};

/// One change to the world. Together with [`super::desired::Desired`] and the recorded names it says everything: executing it chooses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// On the School object.
    Object(ObjectAction),
    /// In the registry.
    Registry(RegistryAction),
    /// On a Secret.
    Secret(SecretAction),
    /// On the tenant server.
    Server(ServerAction),
}

/// An action on the School object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ObjectAction {
    /// Add our finalizer: before anything exists outside the object.
    AddFinalizer,
    /// Record tenant id, server, database, login and Secret names in the status: before anything exists under them.
    RecordNames(Placement),
    /// Record in the status that the database has existed: before a route leads to it, and where the loss of registry and server cannot take it along.
    RecordDatabase,
    /// Remove our finalizer, so that the object can go.
    RemoveFinalizer,
}

/// An action in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum RegistryAction {
    /// Take the code. A unique index decides between two Schools.
    ReserveTenant,
    /// Create the administrator's account with the hash of the temporary password.
    CreateAdmin,
    /// Give the administrator the password that its Secret holds, end the account's sessions, and record the request in the row, in one transaction: a request
    /// is acted on once, whatever dies.
    ResetAdminPassword,
    /// Write route, sealed credentials, profile and schema version, with this state.
    PublishRoute(TenantState),
    /// Change the tenant's state and nothing else.
    SetTenantState(InactiveState),
}

/// An action on a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum SecretAction {
    /// Create the credentials Secret with a new password, only if there is none: it is the write-ahead log of the credential.
    WriteSecret,
    /// Correct the other keys and the labels of our Secret.
    RepairSecret {
        /// Also replace the password, because it cannot be used.
        new_password: bool,
    },
    /// Create the administrator's Secret with a temporary password, only if there is none.
    WriteAdminSecret,
    /// Put another temporary password, with the request that it is for, into the administrator's Secret, before the account has it.
    IssueAdminPassword,
}

/// An action on the tenant server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ServerAction {
    /// Clone the template into a spare database that belongs to no school.
    StageDatabase,
    /// In one transaction turn a spare into the school's database, with login, rights and ownership comments.
    ClaimDatabase,
    /// Create the lost login of an existing database again, closed and without a password.
    RestoreLogin,
    /// Give the login the password that the Secret holds.
    SetPassword,
    /// Apply one migration and record it in the ownership comment, in one transaction.
    Migrate {
        /// The version applied.
        from: u32,
        /// The next version.
        to: u32,
    },
    /// Let the school's login connect, with exactly the rights and limits that the spec asks for.
    EnsureAccess,
    /// Keep the school's login out and end its sessions. Of a database that is not ours nothing is changed.
    CloseDatabase,
    /// Bar the database, end all sessions, drop it.
    DropDatabase,
    /// Drop the login.
    DropLogin,
}

impl From<ObjectAction> for Action {
    fn from(action: ObjectAction) -> Self {
        Self::Object(action)
    }
}

impl From<RegistryAction> for Action {
    fn from(action: RegistryAction) -> Self {
        Self::Registry(action)
    }
}

impl From<SecretAction> for Action {
    fn from(action: SecretAction) -> Self {
        Self::Secret(action)
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
    pub fn label(&self) -> &'static str {
        match self {
            Self::Object(action) => action.into(),
            Self::Registry(action) => action.into(),
            Self::Secret(action) => action.into(),
            Self::Server(action) => action.into(),
        }
    }

    /// The label of every action, for the test that demands a crash before and after each.
    #[must_use]
    pub fn labels() -> Vec<&'static str> {
        [ObjectAction::VARIANTS, RegistryAction::VARIANTS, SecretAction::VARIANTS, ServerAction::VARIANTS].concat()
    }

    /// Why the action is executed, for a person.
    #[must_use]
    pub fn purpose(&self) -> &'static str {
        match self {
            Self::Object(ObjectAction::AddFinalizer) => "the object must stay until everything outside it is dealt with",
            Self::Object(ObjectAction::RecordNames(_)) => "names are chosen once and recorded before anything exists under them",
            Self::Object(ObjectAction::RecordDatabase) => "the database exists, and an empty one must never be created in its place",
            Self::Object(ObjectAction::RemoveFinalizer) => "nothing is left outside the object",
            Self::Registry(RegistryAction::ReserveTenant) => "the registry decides who has the code",
            Self::Registry(RegistryAction::CreateAdmin) => "the school has no administrator",
            Self::Registry(RegistryAction::ResetAdminPassword) => {
                "a person asked for another password of the administrator, and it is stored"
            }
            Self::Registry(RegistryAction::PublishRoute(_)) => "the registry's row is out of date",
            Self::Registry(RegistryAction::SetTenantState(_)) => "the registry's row is in another state than it should be",
            Self::Secret(SecretAction::WriteSecret) => "the password must be stored before a login has it",
            Self::Secret(SecretAction::RepairSecret { .. }) => "the Secret does not hold what applications need",
            Self::Secret(SecretAction::WriteAdminSecret) => {
                "the administrator's temporary password must be stored before the account has it"
            }
            Self::Secret(SecretAction::IssueAdminPassword) => "a person asked for another password of the administrator",
            Self::Server(ServerAction::StageDatabase) => "there is no spare database",
            Self::Server(ServerAction::ClaimDatabase) => "there is a spare database and the password is stored",
            Self::Server(ServerAction::RestoreLogin) => "the database exists and its login does not",
            Self::Server(ServerAction::SetPassword) => "the login has another password than the Secret",
            Self::Server(ServerAction::Migrate { .. }) => "the database's schema is older than this operator's",
            Self::Server(ServerAction::EnsureAccess) => "the database's rights or limits are not those of an open school",
            Self::Server(ServerAction::CloseDatabase) => "the school's login must not connect",
            Self::Server(ServerAction::DropDatabase) => {
                "the School is deleted, its policy is Delete, its routes have stopped and the database is closed"
            }
            Self::Server(ServerAction::DropLogin) => "the login's database is gone",
        }
    }
}
