//! What the planner knows of one server: facts, never guesses.
//!
//! Must not take unknown for absent: a server that did not answer has no facts.

use crate::condition::Reason;
use crate::names::ServerName;

/// Everything the planner knows about one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedServer {
    /// The object is being deleted.
    pub deleting: bool,
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// Schools are on this server, retained ones included.
    pub in_use: bool,
    /// What the server answered, or why it did not.
    pub contact: Result<ServerFacts, Obstacle>,
}

/// Why a server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Obstacle {
    /// The condition's reason.
    pub reason: Reason,
    /// What to do about it. No secret, no counter, no time.
    pub message: String,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact")]
pub struct ServerFacts {
    /// Whether it is the recorded server.
    pub identity: Identity,
    /// Another object that has this server: the identity is recorded there, or it was there first.
    pub taken_by: Option<ServerName>,
    /// PostgreSQL 15 or newer.
    pub supported: bool,
    /// Rights that the admin login lacks, as PostgreSQL calls them.
    pub lacking: Vec<&'static str>,
    /// It accepts writes.
    pub writable: bool,
    /// It lets nobody else connect: what is known of it was read over a session that the operator holds.
    pub full: bool,
    /// It bears a marker, by which it is known where it does not tell its system identifier.
    pub has_marker: bool,
    /// The fixed roles exist, and the migrator has our password.
    pub roles: bool,
    /// PUBLIC may not connect to the maintenance databases, as far as the admin may decide that.
    pub closed: bool,
    /// The frozen template of the operator's schema exists.
    pub template: bool,
    /// Templates or spares of another schema are left.
    pub stale: bool,
}

/// Whether a server is the recorded one; see [`super::identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// None recorded yet, and it neither tells its system identifier nor bears a marker.
    Unmarked,
    /// None recorded yet.
    Unrecorded,
    /// The recorded one.
    Same,
    /// Another server answers under the address.
    Other,
}
