//! Ready, Reconciling and Stalled: what tools wait for.
//!
//! Must say Ready exactly when the plan is settled.

use super::wording::{Waited, refused, waited};
use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};
use crate::school::action::{Action, ServerAction};
use crate::school::desired::Desired;
use crate::school::observed::{AssignedSchool, Assignment, ObservedSchool, ObservedTenant};
use crate::school::plan::Plan;
use crate::tenant::TenantState;

/// Ready, Reconciling, Stalled.
pub(super) fn summary(desired: &Desired, observed: &ObservedSchool, plan: &Plan, overdue: bool) -> Vec<Condition> {
    let three = |ready: (ConditionStatus, Reason), reconciling: (bool, Reason), stalled: (bool, Reason), message: &str| {
        vec![
            Condition::new(ConditionType::Ready, ready.0, ready.1, message),
            Condition::new(ConditionType::Reconciling, ConditionStatus::from(reconciling.0), reconciling.1, message),
            Condition::new(ConditionType::Stalled, ConditionStatus::from(stalled.0), stalled.1, message),
        ]
    };
    match plan {
        Plan::Settled => {
            let (reason, message) = settled(desired);
            three((ConditionStatus::True, reason), (false, reason), (false, reason), message)
        }
        Plan::Execute(action) => {
            let reason = progress(desired, observed, action);
            three((ConditionStatus::False, reason), (true, reason), (false, reason), "work is in progress")
        }
        Plan::Refuse(refusal) => {
            let (reason, message) = refused(*refusal, desired, observed);
            three((ConditionStatus::False, reason), (false, reason), (true, reason), &message)
        }
        Plan::Wait(waiting) => {
            let Waited { reason, message, stalled, outage, patient } = waited(waiting, observed);
            let overdue = overdue && !patient;
            let stalled = stalled || overdue;
            let why_stalled = if overdue { Reason::ProgressDeadlineExceeded } else { reason };
            let ready = if matches!(desired, Desired::Deleted(_)) { Reason::Terminating } else { reason };
            let stalled = (stalled, if stalled { why_stalled } else { reason });
            three((ConditionStatus::False, ready), (!outage && !patient && !stalled.0 || overdue, reason), stalled, &message)
        }
    }
}

fn settled(desired: &Desired) -> (Reason, &'static str) {
    match desired {
        Desired::Present(school) if school.suspended => (Reason::Suspended, "the school is closed, as its spec asks; its data is kept"),
        Desired::Present(_) => (Reason::Ready, "the school is served"),
        Desired::Deleted(_) => (Reason::Terminating, "nothing is left to do"),
    }
}

fn progress(desired: &Desired, observed: &ObservedSchool, action: &Action) -> Reason {
    let Desired::Present(_) = desired else { return Reason::Terminating };
    let served = matches!(&observed.assignment, Assignment::Assigned(AssignedSchool { tenant: ObservedTenant::Ours { state, .. }, .. }) if *state != TenantState::Provisioning);
    match action {
        Action::Server(ServerAction::Migrate { .. }) => Reason::Migrating,
        Action::Object(_) | Action::Registry(_) | Action::Secret(_) | Action::Server(_) if served => Reason::Updating,
        Action::Object(_) | Action::Registry(_) | Action::Secret(_) | Action::Server(_) => Reason::Provisioning,
    }
}
