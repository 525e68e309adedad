//! What is, as read from Kubernetes, the registry and the server: facts, never guesses.
//!
//! Must not guess: unknown is never absent. A source that could not be read is an error of observing, or [`ServerObservation::Unavailable`]; no fact here has a default.

use crate::condition::Reason;
use crate::names::{DatabaseName, LoginName, SecretName, ServerName, TenantId};
use crate::placement::{Placement, Unplaced};
use crate::tenant::TenantState;

/// Everything the planner knows about one School.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedSchool {
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// What exists under the School's recorded names; before names are recorded, where it would be placed.
    pub assignment: Assignment,
}

/// Whether names and a server are recorded in the status. Nothing exists outside the object before they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Assignment {
    /// No names are recorded; the outcome of placing the School now.
    Unassigned(Result<Placement, Unplaced>),
    /// Names are recorded; what exists under them.
    Assigned(AssignedSchool),
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

/// What exists under a School's recorded names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssignedSchool {
    /// The recorded names.
    pub names: Names,
    /// The School's database is known to have existed: its status or the registry's row says so. From then on an empty one is never created in its place.
    pub existed: bool,
    /// The registry's row.
    pub tenant: ObservedTenant,
    /// The login has the password that is sealed in the registry's row, which is the one that requests are routed with.
    pub routed: bool,
    /// The credentials Secret.
    pub secret: ObservedSecret,
    /// The first administrator.
    pub admin: ObservedAdmin,
    /// Whether a person asks for another password of the school's administrator.
    pub reset: ObservedReset,
    /// The database server.
    pub server: ServerObservation,
}

/// The registry's row for this School's code and tenant id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedTenant {
    /// This tenant has no row, and no other row holds the code.
    Absent,
    /// This tenant has no row, and another tenant holds the code.
    OfAnother,
    /// Somebody gave this tenant's row to another School or cluster.
    Reassigned,
    /// Our row.
    Ours {
        /// The state that the row says.
        state: TenantState,
        /// Route, sealed credentials, profile and schema version are what they should be.
        current: bool,
    },
}

/// The credentials Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedSecret {
    /// No Secret of that name.
    Absent,
    /// A Secret of that name which is not controlled by this School.
    Foreign,
    /// Ours.
    Ours(SecretContent),
    /// It was not read, because it could not be or because nothing depends on it: only a School that is to be served needs it.
    Unread,
}

/// What our credentials Secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretContent {
    /// Every key as it should be.
    Current,
    /// A usable password, but other keys or labels differ.
    Stale,
    /// The password is missing or too weak to be used.
    Unusable,
}

/// The first administrator's account and its Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedAdmin {
    /// The account exists; its Secret no longer matters.
    Exists,
    /// The e-mail address belongs to an account of another tenant.
    EmailTaken,
    /// There is no account yet; the state of its Secret.
    Missing(ObservedAdminSecret),
}

/// The Secret with the temporary password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedAdminSecret {
    /// No Secret of that name.
    Absent,
    /// A Secret of that name which is not controlled by this School.
    Foreign,
    /// Ours, with a password.
    Ours,
    /// It was not read, because it could not be or because nothing depends on it.
    Unread,
}

/// A person's request for another password of the school's administrator. There is none while the school has no administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedReset {
    /// There is none, or the registry or the status says that it was acted on.
    NotRequested,
    /// The request cannot be told from another.
    Invalid,
    /// It is unclear whose password is meant: the first administrator is none any more, and there is not exactly one other.
    Unclear,
    /// It was not acted on; the state of the administrator's Secret.
    Requested(ObservedResetSecret),
}

/// The administrator's Secret, for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedResetSecret {
    /// No Secret of that name.
    Absent,
    /// A Secret of that name which is not controlled by this School.
    Foreign,
    /// Ours, with a password that was not issued for this request or not for this account.
    Superseded,
    /// Ours, with the password that was issued for this request.
    Issued,
    /// It was not read, because it could not be or because nothing depends on it.
    Unread,
}

/// The database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerObservation {
    /// It cannot be queried; nothing is known about what it holds.
    Unavailable(Unavailable),
    /// It answered.
    Available(CatalogFacts),
}

/// Why a server cannot be queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unavailable {
    /// There is no `DatabaseServer` of that name.
    NotFound,
    /// It does not answer.
    Unreachable,
    /// It answers, but is not prepared (roles, template) or refuses what preparing needs.
    NotReady,
    /// Another server answers under its address.
    IdentityMismatch,
    /// The operator cannot work on it, for the reason that its `DatabaseServer` gives.
    Unusable(Reason),
}

/// What the server's catalogs say about one School's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CatalogFacts {
    /// The database of the recorded name.
    pub database: ObservedDatabase,
    /// The login of the recorded name.
    pub login: ObservedLogin,
    /// A staged database of the current schema is free to be claimed.
    pub spare: bool,
    /// The template of the operator's schema stands. Without it no database is staged, and no migration reaches a school.
    pub template: bool,
}

/// The school's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedDatabase {
    /// No database of that name.
    Absent,
    /// A database of that name without our ownership comment.
    Foreign {
        /// The login is ours and may log in, or has a session in it.
        entered: bool,
    },
    /// Ours, but a drop of it was interrupted; PostgreSQL lets only another drop happen to it.
    Broken,
    /// Ours.
    Ours {
        /// The applied schema.
        schema: Schema,
        /// Who may connect.
        access: DatabaseAccess,
    },
}

/// The schema applied to a database, from its ownership comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    /// The number of the last migration applied.
    pub version: u32,
    /// The migrations applied are, byte for byte, the first ones this operator knows. Meaningless for versions that it does not know.
    pub genuine: bool,
}

/// Who may connect to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseAccess {
    /// The school's login, the migrator, and nobody else, with the limits that the spec asks for.
    Open,
    /// The migrator only: the login has neither LOGIN nor CONNECT, and no session of it is left.
    Closed,
    /// Nobody, superusers included (`ALLOW_CONNECTIONS false`).
    Barred,
    /// None of these: somebody changed rights, attributes or limits.
    Drifted,
}

/// The school's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedLogin {
    /// No role of that name.
    Absent,
    /// A role of that name without our ownership comment.
    Foreign,
    /// Ours, with the password that the Secret holds.
    Matching,
    /// Ours, with another password than the Secret holds.
    Differing,
}
