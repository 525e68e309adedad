//! The server's planner: from what was observed of a server, the next action that makes it fit for schools. Total and deterministic, without memory.
//!
//! Must never plan anything on a server whose identity is not the recorded one, but for the marker of a server that tells no other.

use super::action::{Action, ObjectAction, ServerAction};
use super::observed::{Identity, ObservedServer, Obstacle, ServerFacts};
use crate::condition::Reason;

/// What to do next about a server: what is waited for and what is refused is an obstacle.
pub type Plan = crate::plan::Plan<Action, Obstacle, Obstacle>;

/// The next action, or why there is none.
#[must_use]
pub fn plan(observed: &ObservedServer) -> Plan {
    if observed.deleting {
        return deleting(observed);
    }
    if !observed.finalizer {
        return Plan::Execute(ObjectAction::AddFinalizer.into());
    }
    keep_fit(&observed.contact)
}

/// What makes a server fit for schools, whether or not new ones are placed there.
fn keep_fit(contact: &Result<ServerFacts, Obstacle>) -> Plan {
    let facts = match contact {
        Err(obstacle) => return Plan::Wait(obstacle.clone()),
        Ok(facts) => facts,
    };
    if let Some(refusal) = unfit(facts) {
        return Plan::Refuse(refusal);
    }
    if !facts.writable {
        let message = "the server accepts no writes (a replica, or read-only); point spec.host at the primary".to_owned();
        return Plan::Wait(Obstacle { reason: Reason::ServerReadOnly, message });
    }
    if facts.full {
        let message = "the server lets nobody else connect (SQLSTATE 53300); schools can still be suspended and deleted. Raise max_connections, or suspend \
                       the School that holds the sessions";
        return Plan::Wait(Obstacle { reason: Reason::TooManyConnections, message: message.to_owned() });
    }
    let actions = [
        (facts.identity == Identity::Unmarked, ServerAction::WriteMarker.into()),
        (facts.identity == Identity::Unrecorded, ObjectAction::RecordIdentity.into()),
        (!facts.roles, ServerAction::PrepareRoles.into()),
        (!facts.closed, ServerAction::CloseMaintenance.into()),
        (!facts.template, ServerAction::BuildTemplate.into()),
        (facts.stale, ServerAction::DropStale.into()),
        // Last: a server that is known by its system identifier serves without one, also while its marker cannot be written.
        (!facts.has_marker, ServerAction::WriteMarker.into()),
    ];
    actions.into_iter().find(|(due, _)| *due).map_or(Plan::Settled, |(_, action)| Plan::Execute(action))
}

fn unfit(facts: &ServerFacts) -> Option<Obstacle> {
    let refusal = |reason, message: String| Some(Obstacle { reason, message });
    if facts.identity == Identity::Other {
        let message = "another PostgreSQL answers under this address than the one recorded; nothing is touched. Correct spec.host, or see the runbook";
        return refusal(Reason::ServerIdentityMismatch, message.to_owned());
    }
    if let Some(earlier) = &facts.taken_by {
        let message =
            format!("DatabaseServer {earlier} is for the same PostgreSQL server; delete this one, or correct its spec.host and spec.port");
        return refusal(Reason::DuplicateServer, message);
    }
    if !facts.supported {
        return refusal(Reason::VersionUnsupported, "PostgreSQL 15 or newer is needed; upgrade the server".to_owned());
    }
    if !facts.lacking.is_empty() {
        return refusal(Reason::InsufficientPrivilege, format!("the admin login lacks {}; grant it", facts.lacking.join(", ")));
    }
    None
}

/// Without schools nothing of the server is needed, not even that it answers. With schools it is kept fit: they could not be deleted otherwise.
fn deleting(observed: &ObservedServer) -> Plan {
    if !observed.finalizer {
        return Plan::Settled;
    }
    if !observed.in_use {
        return Plan::Execute(ObjectAction::RemoveFinalizer.into());
    }
    let message = "schools still live here, retained ones included; delete them first".to_owned();
    match keep_fit(&observed.contact) {
        Plan::Execute(action) => Plan::Execute(action),
        Plan::Settled | Plan::Wait(_) | Plan::Refuse(_) => Plan::Wait(Obstacle { reason: Reason::InUse, message }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::gitops;
    use crate::names::ServerName;
    use crate::server::admissible::admissible;
    use crate::server::status::{ServerCapacity, report};

    fn worlds() -> Vec<ObservedServer> {
        let failed = Obstacle { reason: Reason::DatabaseUnreachable, message: "no answer".into() };
        let mut all = Vec::new();
        for bits in 0..8192_u32 {
            let bit = |i: u32| bits >> i & 1 == 1;
            for identity in [Identity::Unmarked, Identity::Unrecorded, Identity::Same, Identity::Other] {
                let lacking = if bit(4) { vec!["CREATEDB"] } else { vec![] };
                let facts = ServerFacts {
                    identity,
                    taken_by: bit(10).then(|| ServerName::parse("pg-first").unwrap()),
                    supported: bit(3),
                    lacking,
                    writable: bit(5),
                    full: bit(11),
                    // A server without any identity bears no marker.
                    has_marker: bit(12) && identity != Identity::Unmarked,
                    roles: bit(6),
                    closed: bit(7),
                    template: bit(8),
                    stale: bit(9),
                };
                let observed = ObservedServer { deleting: bit(0), finalizer: bit(1), in_use: bit(2), contact: Ok(facts) };
                all.push(ObservedServer { contact: Err(failed.clone()), ..observed.clone() });
                all.push(observed);
            }
        }
        all
    }

    fn apply(observed: &ObservedServer, action: Action) -> ObservedServer {
        let mut next = observed.clone();
        match (action, &mut next.contact) {
            (Action::Object(ObjectAction::AddFinalizer), _) => next.finalizer = true,
            (Action::Object(ObjectAction::RemoveFinalizer), _) => next.finalizer = false,
            (Action::Object(ObjectAction::RecordIdentity), Ok(facts)) => facts.identity = Identity::Same,
            (Action::Server(ServerAction::WriteMarker), Ok(facts)) => {
                facts.has_marker = true;
                if facts.identity == Identity::Unmarked {
                    facts.identity = Identity::Unrecorded;
                }
            }
            (Action::Server(ServerAction::PrepareRoles), Ok(facts)) => facts.roles = true,
            (Action::Server(ServerAction::CloseMaintenance), Ok(facts)) => facts.closed = true,
            (Action::Server(ServerAction::BuildTemplate), Ok(facts)) => facts.template = true,
            (Action::Server(ServerAction::DropStale), Ok(facts)) => facts.stale = false,
            (_, Err(_)) => unreachable!("executed on a server that did not answer"),
        }
        next
    }

    /// The goal, written without the planner.
    fn fit(observed: &ObservedServer) -> bool {
        if observed.deleting {
            return !observed.finalizer;
        }
        let Ok(facts) = &observed.contact else { return false };
        let usable = facts.identity == Identity::Same && facts.supported && facts.lacking.is_empty() && facts.writable && !facts.full;
        let usable = usable && facts.taken_by.is_none();
        observed.finalizer && usable && facts.has_marker && facts.roles && facts.closed && facts.template && !facts.stale
    }

    #[test]
    fn every_state_ends_and_is_settled_exactly_when_the_server_is_fit() {
        for start in worlds() {
            let (mut observed, mut path) = (start.clone(), HashSet::new());
            loop {
                let next = plan(&observed);
                assert_eq!(next == Plan::Settled, fit(&observed), "{observed:?}");
                let Plan::Execute(action) = next else { break };
                assert!(admissible(&observed, action), "{action:?} was planned where it must not land: {observed:?}");
                let after = apply(&observed, action);
                assert!(path.insert(std::mem::replace(&mut observed, after)), "cycle at {start:?}");
            }
        }
    }

    #[test]
    fn nothing_is_done_on_a_server_that_is_not_the_recorded_one_or_not_recorded() {
        for observed in worlds() {
            let planned = plan(&observed);
            let on_server = matches!(planned, Plan::Execute(Action::Server(_)));
            let writes_marker = planned == Plan::Execute(ServerAction::WriteMarker.into());
            let lawful = |identity| identity == Identity::Same || identity == Identity::Unmarked && writes_marker;
            assert!(!on_server || matches!(&observed.contact, Ok(facts) if lawful(facts.identity)), "{observed:?}");
        }
    }

    #[test]
    fn nothing_is_done_or_recorded_on_a_server_that_another_object_has() {
        for observed in worlds().into_iter().filter(|observed| matches!(&observed.contact, Ok(facts) if facts.taken_by.is_some())) {
            let done = plan(&observed);
            let on_object = matches!(done, Plan::Execute(Action::Object(ObjectAction::AddFinalizer | ObjectAction::RemoveFinalizer)));
            assert!(on_object || !matches!(done, Plan::Execute(_) | Plan::Settled) || observed.deleting, "{observed:?}");
        }
    }

    #[test]
    fn the_object_of_a_server_without_schools_goes_whatever_is_wrong_with_the_server() {
        for observed in worlds().into_iter().filter(|observed| observed.deleting && observed.finalizer && !observed.in_use) {
            assert_eq!(plan(&observed), Plan::Execute(ObjectAction::RemoveFinalizer.into()), "{observed:?}");
        }
    }

    #[test]
    fn a_server_that_is_being_deleted_stays_fit_for_the_deletion_of_its_schools() {
        for observed in worlds().into_iter().filter(|observed| observed.deleting && observed.finalizer && observed.in_use) {
            let present = ObservedServer { deleting: false, ..observed.clone() };
            match plan(&present) {
                Plan::Execute(action) => assert_eq!(plan(&observed), Plan::Execute(action), "{observed:?}"),
                Plan::Settled | Plan::Wait(_) | Plan::Refuse(_) => {
                    assert!(matches!(plan(&observed), Plan::Wait(Obstacle { reason: Reason::InUse, .. })), "{observed:?}");
                }
            }
        }
    }

    #[test]
    fn the_finalizer_of_a_server_with_schools_stays() {
        for observed in worlds().into_iter().filter(|observed| observed.in_use) {
            assert_ne!(plan(&observed), Plan::Execute(Action::Object(ObjectAction::RemoveFinalizer)), "{observed:?}");
        }
    }

    #[test]
    fn argo_cd_and_flux_take_a_server_for_what_it_is_in_every_state() {
        let mut distinct = gitops::Distinct::new();
        for observed in worlds().iter().filter(|observed| !observed.deleting) {
            let planned = plan(observed);
            for (overdue, schedulable, capacity) in
                [(false, true, None), (true, true, None), (false, false, Some(3)), (true, false, Some(3))]
            {
                let capacity = ServerCapacity { schedulable, schools: 3, capacity };
                gitops::add(&mut distinct, report(observed, &planned, capacity, overdue), planned == Plan::Settled, false);
            }
        }
        let script = gitops::Script::of("DatabaseServer");
        for (conditions, settled, _) in distinct.values() {
            gitops::check(&script, conditions, *settled, false);
        }
    }

    #[test]
    fn every_action_is_planned_in_some_state() {
        let planned: HashSet<_> = worlds()
            .iter()
            .filter_map(|observed| if let Plan::Execute(action) = plan(observed) { Some(action.label()) } else { None })
            .collect();
        assert_eq!(planned, Action::labels().into_iter().collect());
    }
}
