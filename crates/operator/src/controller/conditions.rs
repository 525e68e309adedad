//! Conditions of the domain to conditions of the API, and what their times say.

use std::time::Duration;

use domain::condition::{Condition, ConditionStatus, ConditionType, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as Written;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::kubernetes::condition::merge_conditions;

/// What is told now over what was written before; transition times move only with the verdict. Conditions that nothing is said about now stay.
#[must_use]
pub(super) fn merge(before: &[Written], told: &[Condition], generation: i64) -> Vec<Written> {
    let mut told = told.to_vec();
    // The three that tools wait for are always there, from the first look on.
    for kind in [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled] {
        if told.iter().all(|told| told.type_ != kind) && before.iter().all(|written| written.type_ != kind.label()) {
            told.push(Condition::new(kind, ConditionStatus::Unknown, Reason::Pending, "not looked at yet"));
        }
    }
    merge_conditions(before, &told, generation, Timestamp::now())
}

/// The object was Ready when it was last told about.
#[must_use]
pub(super) fn was_ready(before: &[Written]) -> bool {
    before.iter().any(|written| written.type_ == ConditionType::Ready.label() && written.status == ConditionStatus::True.label())
}

/// Progress has been awaited for longer than `deadline`.
#[must_use]
pub(super) fn overdue(before: &[Written], deadline: Duration) -> bool {
    let since = before
        .iter()
        .find(|written| written.type_ == ConditionType::Reconciling.label() && written.status == ConditionStatus::True.label());
    since.is_some_and(|written| {
        Timestamp::now().duration_since(written.last_transition_time.0) > SignedDuration::try_from(deadline).unwrap_or(SignedDuration::MAX)
    })
}
