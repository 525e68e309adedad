//! What must hold where an action on a server lands, whatever planned it. Nothing lands on a server whose identity is not the recorded one, or that another
//! object has. A server that cannot be told from others gets a marker first, and nothing else.
//!
//! Written apart from the planner, and must stay so: the planner's test uses it as its oracle, and the engine checks it before every action.

use super::action::{Action, ObjectAction, ServerAction};
use super::observed::{Identity, ObservedServer};

/// Whether `action` may land.
#[must_use]
pub fn admissible(observed: &ObservedServer, action: Action) -> bool {
    let kept = observed.finalizer && (!observed.deleting || observed.in_use);
    let facts = observed.contact.as_ref().ok().filter(|facts| kept && facts.taken_by.is_none());
    match action {
        Action::Object(ObjectAction::AddFinalizer) => !observed.finalizer && !observed.deleting,
        Action::Object(ObjectAction::RemoveFinalizer) => observed.finalizer && observed.deleting && !observed.in_use,
        Action::Object(ObjectAction::RecordIdentity) => facts.is_some_and(|facts| facts.identity == Identity::Unrecorded),
        Action::Server(action) => facts.is_some_and(|facts| {
            let usable = facts.supported && facts.lacking.is_empty() && facts.writable && !facts.full;
            let known = facts.identity == Identity::Same || (facts.identity == Identity::Unmarked && action == ServerAction::WriteMarker);
            usable
                && known
                && match action {
                    ServerAction::WriteMarker => !facts.has_marker,
                    ServerAction::PrepareRoles => true,
                    ServerAction::CloseMaintenance | ServerAction::BuildTemplate => facts.roles,
                    ServerAction::DropStale => facts.roles && facts.template,
                }
        }),
    }
}
