//! What a planner answers, the same for every kind of object: one action, or why there is none.
//!
//! Must not know any kind: actions, what is waited for and what is refused are the kind's own types.

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Plan<Action, Waiting, Refusal> {
    /// Execute this action, then observe what it changed and plan again.
    Execute(Action),
    /// Nothing can be done until something else changes.
    Wait(Waiting),
    /// What is desired cannot be done as things are; a person must decide.
    Refuse(Refusal),
    /// Nothing is left to do.
    Settled,
}

impl<Action, Waiting, Refusal> Plan<Action, Waiting, Refusal> {
    /// The object waits for something outside itself, or for a person.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Wait(_) | Self::Refuse(_))
    }
}
