//! Conditions of the domain to conditions of the API, and what their times say.
//!
//! Must not decide what a condition says.

use std::time::Duration;

use domain::condition::{Condition, ConditionStatus, ConditionType, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as Written;
use k8s_openapi::jiff::Timestamp;

use crate::kubernetes::condition::merge_conditions;

/// The present conditions over those written before. Transition times move only with the status. Conditions that are not reported now stay.
#[must_use]
pub(super) fn merge(before: &[Written], now: &[Condition], generation: i64) -> Vec<Written> {
    let mut now = now.to_vec();
    // The three that tools wait for are always there, from the first report on.
    for type_ in [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled] {
        if now.iter().all(|now| now.type_ != type_) && before.iter().all(|written| written.type_ != type_.label()) {
            now.push(Condition::new(type_, ConditionStatus::Unknown, Reason::Pending, "not observed yet"));
        }
    }
    merge_conditions(before, &now, generation, Timestamp::now())
}

/// The last report said Ready.
#[must_use]
pub(super) fn was_ready(before: &[Written]) -> bool {
    before.iter().any(|written| written.type_ == ConditionType::Ready.label() && written.status == ConditionStatus::True.label())
}

/// There has been no progress for longer than `deadline`.
#[must_use]
pub(super) fn overdue(before: &[Written], deadline: Duration) -> bool {
    until_overdue(before, deadline).is_some_and(|left| left.is_zero())
}

/// How long progress may still be awaited until it is overdue; none when none is awaited.
#[must_use]
pub(super) fn until_overdue(before: &[Written], deadline: Duration) -> Option<Duration> {
    let since = before
        .iter()
        .find(|written| written.type_ == ConditionType::Reconciling.label() && written.status == ConditionStatus::True.label())?;
    let passed = Timestamp::now().duration_since(since.last_transition_time.0);
    Some(deadline.saturating_sub(Duration::try_from(passed).unwrap_or_default()))
}
