//! What is, as read from Kubernetes, the registry and the server: facts, never guesses.
//!
//! Invariant: unknown is never absent. A source that could not be read is an error of observing, or [`Server::Away`]; no fact here has a default.

use crate::names::{DatabaseName, LoginName, SecretName, ServerName, TenantId};
use crate::placement::{Choice, Unplaced};

/// Everything the planner knows about one School.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// What the School is bound to, once names are recorded; before that, where it would go.
    pub binding: Binding,
}

/// Whether names are recorded in the status. Nothing outside the object exists before they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// No names yet; the outcome of placing it now.
    Unbound(Result<Choice, Unplaced>),
    /// Names recorded, and what stands under them.
    Bound(Bound),
}

/// The names chosen for a School, recorded once in its status and never derived again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Names {
    /// The registry's key.
    pub tenant: TenantId,
    /// The server that holds the database.
    pub server: ServerName,
    /// The school's database.
    pub database: DatabaseName,
    /// The school's login.
    pub login: LoginName,
    /// The Secret with the login's credentials.
    pub secret: SecretName,
    /// The Secret with the first administrator's temporary password.
    pub admin_secret: SecretName,
}

/// What stands under a School's recorded names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    /// The recorded names.
    pub names: Names,
    /// The registry's row.
    pub tenant: Tenant,
    /// The credentials Secret.
    pub secret: Secret,
    /// The first administrator.
    pub admin: Admin,
    /// The database server.
    pub server: Server,
}

/// The registry's row for this School's code and tenant id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// No row holds the code.
    Absent,
    /// Another tenant holds the code.
    OfAnother,
    /// Our row.
    Ours {
        /// Where the tenant is in its life.
        state: TenantState,
        /// Route, sealed credentials, profile and schema version are what they should be.
        current: bool,
    },
}

/// A tenant's state in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TenantState {
    /// Being made; the API answers 503.
    Provisioning,
    /// Serving.
    Active,
    /// Closed, by wish or on the way out; the API answers 403.
    Suspended,
    /// School object gone, data kept.
    Retained,
    /// School object and data gone.
    Deleted,
}

/// The credentials Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Secret {
    /// No Secret of that name.
    Absent,
    /// A Secret of that name which is not controlled by this School.
    Foreign,
    /// Ours.
    Ours(Content),
}

/// What our credentials Secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Every key as it should be.
    Current,
    /// A usable password, but other keys or labels differ.
    Stale,
    /// The password is missing or too weak to be used.
    Unusable,
}

/// The first administrator's account and its Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admin {
    /// The account exists; its Secret no longer matters.
    Made,
    /// The e-mail address belongs to an account of another tenant.
    EmailTaken,
    /// No account yet; how its Secret stands.
    Unmade(AdminSecret),
}

/// The Secret with the temporary password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdminSecret {
    /// No Secret of that name.
    Absent,
    /// A Secret of that name which is not controlled by this School.
    Foreign,
    /// Ours, with a password.
    Ours,
}

/// The database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// It cannot be asked; nothing is known about what it holds.
    Away(Away),
    /// It answered.
    Here(OnServer),
}

/// Why a server cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Away {
    /// There is no `DatabaseServer` of that name.
    NotFound,
    /// It does not answer.
    Unreachable,
    /// It answers, but is not prepared (roles, template) or refuses what preparing needs.
    NotReady,
    /// Another server answers under its address.
    IdentityMismatch,
}

/// What the server's catalogs say about one School's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OnServer {
    /// The database of the recorded name.
    pub database: Database,
    /// The login of the recorded name.
    pub login: Login,
    /// A staged database of the current schema is free to be claimed.
    pub spare: bool,
}

/// The school's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Database {
    /// No database of that name.
    Absent,
    /// A database of that name without our mark.
    Foreign,
    /// Ours, but a drop of it was interrupted; PostgreSQL lets only another drop happen to it.
    Broken,
    /// Ours.
    Ours {
        /// The applied schema.
        schema: Schema,
        /// Who may enter.
        access: Access,
    },
}

/// The schema applied to a database, from its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    /// The number of the last migration applied.
    pub version: u32,
    /// The migrations applied are, byte for byte, the first ones this operator knows. Meaningless for versions it does not know.
    pub genuine: bool,
}

/// Who may enter a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The school's login, the migrator, and nobody else, with the limits asked for.
    Open,
    /// The migrator only: the login has neither LOGIN nor CONNECT, and no session is left of it.
    Closed,
    /// Nobody, superusers included (`ALLOW_CONNECTIONS false`).
    Barred,
    /// None of these: somebody changed rights, attributes or limits.
    Drifted,
}

/// The school's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Login {
    /// No role of that name.
    Absent,
    /// A role of that name without our mark.
    Foreign,
    /// Ours, with the password that the Secret holds.
    Matching,
    /// Ours, with another password than the Secret holds.
    Differing,
}
