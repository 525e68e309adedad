//! The condition Suspended: whether routes and door are closed, as they are and not as they were asked for.
//!
//! Must say True only when neither the API nor the school's login can reach the database.

use super::wording::unavailable_message;
use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};
use crate::school::desired::Desired;
use crate::school::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedLogin, ObservedSchool, ObservedTenant,
    ServerObservation,
};
use crate::tenant::TenantState;

pub(super) fn suspended(desired: &Desired, observed: &ObservedSchool) -> Condition {
    let reason = match desired {
        Desired::Present(school) if !school.suspended => {
            return Condition::new(ConditionType::Suspended, ConditionStatus::False, Reason::NotSuspended, "spec.state is Active");
        }
        Desired::Present(_) => Reason::Suspended,
        Desired::Deleted(_) => Reason::Terminating,
    };
    match &observed.assignment {
        Assignment::Unassigned(_) => condition(ConditionStatus::True, reason, "nothing of the school exists yet"),
        Assignment::Assigned(assigned) => closed(desired, observed, assigned, reason),
    }
}

fn closed(desired: &Desired, observed: &ObservedSchool, assigned: &AssignedSchool, reason: Reason) -> Condition {
    let closing = if matches!(desired, Desired::Deleted(_)) { Reason::Terminating } else { Reason::Updating };
    match assigned.tenant {
        ObservedTenant::Ours { state: TenantState::Active, .. } => {
            return condition(ConditionStatus::False, closing, "requests are still routed");
        }
        ObservedTenant::Reassigned => {
            return condition(ConditionStatus::Unknown, Reason::NameConflict, "the registry gave this tenant to another School");
        }
        ObservedTenant::Ours { .. } | ObservedTenant::Absent | ObservedTenant::OfAnother => {}
    }
    match assigned.server {
        ServerObservation::Unavailable(unavailable) => {
            let (reason, message) = unavailable_message(unavailable, observed);
            condition(
                ConditionStatus::Unknown,
                reason,
                &format!("no request is routed; whether the database is closed is unknown: {message}"),
            )
        }
        ServerObservation::Available(catalog) => door(catalog, reason, closing),
    }
}

fn door(catalog: CatalogFacts, reason: Reason, closing: Reason) -> Condition {
    match (catalog.database, catalog.login) {
        (
            ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. }
            | ObservedDatabase::Foreign { entered: true },
            _,
        ) => condition(ConditionStatus::False, closing, "no request is routed; the database is still open to the school's login"),
        (ObservedDatabase::Foreign { entered: false }, ObservedLogin::Foreign) => condition(
            ConditionStatus::Unknown,
            Reason::OwnedByAnother,
            "no request is routed; database and login of the school's names are not known to be its own and were not closed",
        ),
        (ObservedDatabase::Ours { access: DatabaseAccess::Closed | DatabaseAccess::Barred, .. }, _) => {
            condition(ConditionStatus::True, reason, "no request is routed, and the database is closed")
        }
        (ObservedDatabase::Absent | ObservedDatabase::Broken | ObservedDatabase::Foreign { entered: false }, _) => {
            condition(ConditionStatus::True, reason, "no request is routed, and the school's login has no database to enter")
        }
    }
}

fn condition(status: ConditionStatus, reason: Reason, message: &str) -> Condition {
    Condition::new(ConditionType::Suspended, status, reason, message)
}
