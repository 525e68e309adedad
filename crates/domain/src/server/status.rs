//! The conditions of a `DatabaseServer`, from what was observed and planned.
//!
//! Must not say more than was observed, and must not know times: those are the operator's.

use super::observed::{ObservedServer, Obstacle, ServerFacts};
use super::plan::Plan;
use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};

/// How many schools a server takes and has, by its spec and the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerCapacity {
    /// `spec.schedulable`.
    pub schedulable: bool,
    /// Schools on it, retained ones included.
    pub schools: u32,
    /// `spec.capacity.maxSchools`.
    pub capacity: Option<u32>,
}

/// Conditions after a reconcile that ended with `plan`. `overdue`: progress has been awaited for longer than the progress deadline.
#[must_use]
pub fn report(observed: &ObservedServer, plan: &Plan, capacity: ServerCapacity, overdue: bool) -> Vec<Condition> {
    let mut conditions = summary(plan, observed.deleting, overdue);
    conditions.push(reachable(&observed.contact));
    conditions.push(schedulable(capacity));
    conditions.push(capacity_available(capacity));
    conditions
}

fn summary(plan: &Plan, deleting: bool, overdue: bool) -> Vec<Condition> {
    let (ready, reconciling, stalled, reason, message) = match plan {
        Plan::Settled => (true, false, false, Reason::Ready, "schools can be placed here"),
        Plan::Execute(_) => (false, true, false, Reason::Preparing, "roles and template are being made"),
        Plan::Wait(Obstacle { reason, message }) => (false, true, overdue && !deleting, *reason, message.as_str()),
        Plan::Refuse(Obstacle { reason, message }) => (false, false, true, *reason, message.as_str()),
    };
    let reason_if_deleting = if deleting { Reason::Terminating } else { reason };
    let stalled_reason = if stalled && reconciling { Reason::ProgressDeadlineExceeded } else { reason };
    vec![
        Condition::new(ConditionType::Ready, ConditionStatus::from(ready), reason_if_deleting, message),
        Condition::new(ConditionType::Reconciling, ConditionStatus::from(reconciling), reason, message),
        Condition::new(ConditionType::Stalled, ConditionStatus::from(stalled), stalled_reason, message),
    ]
}

fn reachable(contact: &Result<ServerFacts, Obstacle>) -> Condition {
    match contact {
        Ok(facts) => {
            let message =
                if facts.full { "the server answers, but only over the session that the operator holds" } else { "the server answers" };
            Condition::new(ConditionType::Reachable, ConditionStatus::True, Reason::Connected, message)
        }
        Err(Obstacle { reason, message }) => Condition::new(ConditionType::Reachable, ConditionStatus::False, *reason, message),
    }
}

fn schedulable(capacity: ServerCapacity) -> Condition {
    if capacity.schedulable {
        Condition::new(ConditionType::Schedulable, ConditionStatus::True, Reason::AcceptingSchools, "new schools may be placed here")
    } else {
        Condition::new(
            ConditionType::Schedulable,
            ConditionStatus::False,
            Reason::ServerCordoned,
            "spec.schedulable is false; schools already here stay",
        )
    }
}

fn capacity_available(capacity: ServerCapacity) -> Condition {
    match capacity.capacity {
        Some(most) if capacity.schools >= most => {
            let message = format!("all {most} places are taken; raise spec.capacity.maxSchools or add a server");
            Condition::new(ConditionType::CapacityAvailable, ConditionStatus::False, Reason::NoCapacity, message)
        }
        _ => Condition::new(ConditionType::CapacityAvailable, ConditionStatus::True, Reason::RoomLeft, "there is room for more schools"),
    }
}
