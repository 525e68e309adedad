//! Conditions: their types, their status, and the reasons in [`Reason`].
//!
//! Must not know times or generations: those are the operator's.

#[macro_use]
mod list;
mod reason;

pub use self::reason::Reason;

/// One condition as a status should have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which question it answers.
    pub type_: ConditionType,
    /// The answer.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, and what to do, for a person. No counters, no times: it must not change while nothing happens.
    pub message: String,
}

impl Condition {
    /// A condition.
    #[must_use]
    pub fn new(type_: ConditionType, status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// `True`, `False` or `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// Yes.
    True,
    /// No.
    False,
    /// It could not be found out.
    Unknown,
}

impl ConditionStatus {
    /// The API's word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(yes: bool) -> Self {
        if yes { Self::True } else { Self::False }
    }
}

closed_list! {
    /// The questions a status answers.
    ConditionType {
        /// The current generation is applied and the object is usable (or suspended, as asked).
        Ready,
        /// Work for this generation, or a retry, is in progress.
        Reconciling,
        /// No progress without a person or a changed spec.
        Stalled,
        /// The tenant is served.
        Available,
        /// A server is chosen.
        ServerAssigned,
        /// Database, login and rights stand.
        DatabaseReady,
        /// The schema is the operator's.
        SchemaReady,
        /// The Secret holds credentials that work.
        CredentialsReady,
        /// The tenant is closed, as the spec asks.
        Suspended,
        /// The server answers.
        Reachable,
        /// The server takes new schools.
        Schedulable,
        /// The server has room.
        CapacityAvailable,
    }
}
