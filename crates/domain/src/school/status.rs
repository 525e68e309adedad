//! The conditions of a School, from what was desired, observed and planned.
//!
//! Must not say more than was observed, and must not know times: those are the operator's.

mod closing;
mod details;
mod summary;
mod wording;

use self::details::details;
use self::summary::summary;
use super::desired::Desired;
use super::observed::ObservedSchool;
use super::plan::Plan;
use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};
use crate::failure::{self, Circumstances, Failure};

/// Conditions after a reconcile that ended with `plan`. `overdue`: the School has made no progress for longer than the progress deadline.
#[must_use]
pub fn report(desired: &Desired, observed: &ObservedSchool, plan: &Plan, overdue: bool) -> Vec<Condition> {
    let mut conditions = summary(desired, observed, plan, overdue);
    conditions.extend(details(desired, observed));
    conditions
}

/// Conditions after a reconcile that failed; `known` is what was desired and observed before, if anything was.
#[must_use]
pub fn report_failure(failure: &Failure, circumstances: Circumstances, known: Option<(&Desired, &ObservedSchool)>) -> Vec<Condition> {
    let mut conditions = failure::report_failure(failure, circumstances);
    if let Some((desired, observed)) = known {
        conditions.extend(details(desired, observed));
    }
    if failure.reason == Reason::MigrationFailed {
        conditions.retain(|condition| condition.type_ != ConditionType::SchemaReady);
        conditions.push(Condition::new(ConditionType::SchemaReady, ConditionStatus::False, Reason::MigrationFailed, &failure.message));
    }
    conditions
}
