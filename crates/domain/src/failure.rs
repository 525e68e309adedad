//! A reconcile that failed, and the conditions that say so, the same for every kind of object.
//!
//! Must not choose waits: that is [`crate::retry`]. Must not contain a secret, a counter or a time, because a status must not change while nothing happens.

use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};
use crate::retry::Class;

/// Why a reconcile could not be completed, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the error was classified.
    pub class: Class,
    /// `MigrationFailed`, `InvalidSpec`, `OwnedByAnother`, `PasswordRefused`, or `ProgressingWithRetry`.
    pub reason: Reason,
    /// What failed and what to do.
    pub message: String,
}

/// What is known of the object whose reconcile failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The object is being deleted.
    pub deleting: bool,
    /// Its status says Ready.
    pub was_ready: bool,
    /// It has made no progress for longer than the progress deadline.
    pub overdue: bool,
}

/// Ready, Reconciling and Stalled after a reconcile that failed.
#[must_use]
pub fn report_failure(failure: &Failure, circumstances: Circumstances) -> Vec<Condition> {
    let Failure { reason, message, .. } = failure;
    let Circumstances { deleting, was_ready, overdue } = circumstances;
    let blocked = matches!(reason, Reason::MigrationFailed | Reason::InvalidSpec | Reason::OwnedByAnother | Reason::PasswordRefused);
    let stalled = match (blocked, overdue) {
        (true, _) => Some(*reason),
        (false, true) => Some(Reason::ProgressDeadlineExceeded),
        (false, false) => None,
    };
    let retrying = if blocked { *reason } else { Reason::ProgressingWithRetry };
    let stalled_reason = stalled.unwrap_or(Reason::ProgressingWithRetry);
    let mut conditions = vec![
        Condition::new(ConditionType::Reconciling, ConditionStatus::from(!blocked), retrying, message),
        Condition::new(ConditionType::Stalled, ConditionStatus::from(stalled.is_some()), stalled_reason, message),
    ];
    // What was ready and could not be observed for a moment is still ready as far as anyone knows.
    if blocked || overdue || deleting || !was_ready {
        let reason = if deleting { Reason::Terminating } else { stalled.unwrap_or(retrying) };
        conditions.push(Condition::new(ConditionType::Ready, ConditionStatus::False, reason, message));
    }
    conditions
}
