//! From what is seen of a server, the one next step that makes it fit for schools. Total and deterministic, without memory.
//!
//! Must never plan anything on a server whose identity is not the recorded one.

use crate::condition::Reason;

/// Everything the planner knows about one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedServer {
    /// The object is being deleted.
    pub deleting: bool,
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// Schools of the registry live here, retained ones included.
    pub in_use: bool,
    /// What the server answered, or why it could not be asked.
    pub contact: Result<ServerFacts, Obstacle>,
}

/// Why a server could not be asked.
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
    /// Whether it is the server we knew.
    pub identity: Identity,
    /// PostgreSQL 15 or newer.
    pub supported: bool,
    /// Rights that the admin login lacks, in PostgreSQL's words.
    pub lacking: Vec<&'static str>,
    /// It accepts writes.
    pub writable: bool,
    /// The fixed roles stand, and the migrator has our password.
    pub roles: bool,
    /// PUBLIC may not connect to the maintenance databases, as far as that is ours to decide.
    pub closed: bool,
    /// The frozen template of the operator's schema stands.
    pub template: bool,
    /// Templates or spares of another schema are left.
    pub stale: bool,
}

/// Whether a server is the one we knew, by PostgreSQL's system identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// None recorded yet.
    Unrecorded,
    /// The recorded one.
    Same,
    /// Another server answers under the address.
    Other,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Put our finalizer on the object: before anything is made on the server.
    AddFinalizer,
    /// Record the system identifier in the status: before anything is made on the server.
    RecordIdentity,
    /// Make `tenant_owner`, `tenant_app` and `dailycare_migrator`.
    PrepareRoles,
    /// Take CONNECT on the maintenance databases from PUBLIC.
    CloseMaintenance,
    /// Build and freeze the template of the operator's schema.
    BuildTemplate,
    /// Drop templates and spares of other schemas.
    DropStale,
    /// Let the object go.
    RemoveFinalizer,
}

impl Action {
    /// The effect's name in logs, metrics and fault points.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AddFinalizer => "server_add_finalizer",
            Self::RecordIdentity => "server_record_identity",
            Self::PrepareRoles => "server_prepare_roles",
            Self::CloseMaintenance => "server_close_maintenance",
            Self::BuildTemplate => "server_build_template",
            Self::DropStale => "server_drop_stale",
            Self::RemoveFinalizer => "server_remove_finalizer",
        }
    }

    /// The name of every effect, for the test that demands a crash before and after each.
    pub const LABELS: &'static [&'static str] = &[
        "server_add_finalizer",
        "server_record_identity",
        "server_prepare_roles",
        "server_close_maintenance",
        "server_build_template",
        "server_drop_stale",
        "server_remove_finalizer",
    ];
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Take this step, then look again.
    Execute(Action),
    /// The server must answer, or accept writes, first.
    Wait(Obstacle),
    /// A person must act: the reason, and what to do.
    Refuse(Obstacle),
    /// It is fit for schools, or gone.
    Settled,
}

/// The one next step.
#[must_use]
pub fn plan(observed: &ObservedServer) -> Plan {
    if observed.deleting {
        return deleting(observed);
    }
    if !observed.finalizer {
        return Plan::Execute(Action::AddFinalizer);
    }
    let facts = match &observed.contact {
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
    let steps = [
        (facts.identity == Identity::Unrecorded, Action::RecordIdentity),
        (!facts.roles, Action::PrepareRoles),
        (!facts.closed, Action::CloseMaintenance),
        (!facts.template, Action::BuildTemplate),
        (facts.stale, Action::DropStale),
    ];
    steps.into_iter().find(|(due, _)| *due).map_or(Plan::Settled, |(_, action)| Plan::Execute(action))
}

fn unfit(facts: &ServerFacts) -> Option<Obstacle> {
    let refusal = |reason, message: String| Some(Obstacle { reason, message });
    if facts.identity == Identity::Other {
        let message = "another PostgreSQL answers under this address than the one recorded; nothing is touched. Correct spec.host, or see the runbook";
        return refusal(Reason::ServerIdentityMismatch, message.to_owned());
    }
    if !facts.supported {
        return refusal(Reason::VersionUnsupported, "PostgreSQL 15 or newer is needed; upgrade the server".to_owned());
    }
    if !facts.lacking.is_empty() {
        return refusal(Reason::InsufficientPrivilege, format!("the admin login lacks {}; grant it", facts.lacking.join(", ")));
    }
    None
}

fn deleting(observed: &ObservedServer) -> Plan {
    if !observed.finalizer {
        Plan::Settled
    } else if observed.in_use {
        let message = "schools still live here, retained ones included; delete them first".to_owned();
        Plan::Wait(Obstacle { reason: Reason::InUse, message })
    } else {
        Plan::Execute(Action::RemoveFinalizer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn worlds() -> Vec<ObservedServer> {
        let failed = Obstacle { reason: Reason::DatabaseUnreachable, message: "no answer".into() };
        let mut all = Vec::new();
        for bits in 0..1024_u32 {
            let bit = |i: u32| bits >> i & 1 == 1;
            for identity in [Identity::Unrecorded, Identity::Same, Identity::Other] {
                let lacking = if bit(4) { vec!["CREATEDB"] } else { vec![] };
                let facts = ServerFacts {
                    identity,
                    supported: bit(3),
                    lacking,
                    writable: bit(5),
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
            (Action::AddFinalizer, _) => next.finalizer = true,
            (Action::RemoveFinalizer, _) => next.finalizer = false,
            (Action::RecordIdentity, Ok(facts)) => facts.identity = Identity::Same,
            (Action::PrepareRoles, Ok(facts)) => facts.roles = true,
            (Action::CloseMaintenance, Ok(facts)) => facts.closed = true,
            (Action::BuildTemplate, Ok(facts)) => facts.template = true,
            (Action::DropStale, Ok(facts)) => facts.stale = false,
            (_, Err(_)) => unreachable!("acted on a server that was not asked"),
        }
        next
    }

    /// The goal, written without the planner.
    fn fit(observed: &ObservedServer) -> bool {
        if observed.deleting {
            return !observed.finalizer;
        }
        let Ok(facts) = &observed.contact else { return false };
        let usable = facts.identity == Identity::Same && facts.supported && facts.lacking.is_empty() && facts.writable;
        observed.finalizer && usable && facts.roles && facts.closed && facts.template && !facts.stale
    }

    #[test]
    fn every_state_ends_and_is_settled_exactly_when_the_server_is_fit() {
        for start in worlds() {
            let (mut observed, mut path) = (start.clone(), HashSet::new());
            loop {
                let next = plan(&observed);
                assert_eq!(next == Plan::Settled, fit(&observed), "{observed:?}");
                let Plan::Execute(action) = next else { break };
                let after = apply(&observed, action);
                assert!(path.insert(std::mem::replace(&mut observed, after)), "cycle at {start:?}");
            }
        }
    }

    #[test]
    fn nothing_is_done_on_a_server_that_is_not_the_recorded_one_or_not_recorded() {
        for observed in worlds() {
            let on_server = matches!(
                plan(&observed),
                Plan::Execute(Action::PrepareRoles | Action::CloseMaintenance | Action::BuildTemplate | Action::DropStale)
            );
            assert!(!on_server || matches!(&observed.contact, Ok(facts) if facts.identity == Identity::Same), "{observed:?}");
        }
    }

    #[test]
    fn a_server_with_schools_is_not_let_go() {
        for observed in worlds().into_iter().filter(|observed| observed.in_use) {
            assert_ne!(plan(&observed), Plan::Execute(Action::RemoveFinalizer), "{observed:?}");
        }
    }

    #[test]
    fn every_action_has_a_name_in_the_list_of_effects() {
        let planned: HashSet<_> = worlds()
            .iter()
            .filter_map(|observed| if let Plan::Execute(action) = plan(observed) { Some(action.label()) } else { None })
            .collect();
        assert_eq!(planned, Action::LABELS.iter().copied().collect());
    }
}
