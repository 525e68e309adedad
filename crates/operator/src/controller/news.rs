//! When a status is news: an Event when Ready's reason changes, so that a person who describes an object reads its story once, not every try of it.

use domain::condition::{Condition, ConditionType, Reason};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as Written;

use crate::kubernetes::events::{Notice, Recorder, Severity};

/// Tells what changed. Settling and trouble are news; being at work is not.
pub(super) fn tell(recorder: &Recorder, about: &ObjectReference, before: &[Written], told: &[Condition]) {
    for kind in [ConditionType::Ready, ConditionType::Stalled] {
        let Some(now) = told.iter().find(|condition| condition.type_ == kind) else { continue };
        let then = before.iter().find(|written| written.type_ == kind.label());
        let changed = then.is_none_or(|then| then.reason != now.reason.label());
        if let (true, Some(severity)) = (changed, severity(kind, now.reason)) {
            recorder.publish(about, &Notice { severity, reason: now.reason.label(), action: "Reconcile", note: now.message.clone() });
            return;
        }
    }
}

fn severity(kind: ConditionType, reason: Reason) -> Option<Severity> {
    match reason {
        _ if reason.is_problem() => Some(Severity::Warning),
        Reason::Ready | Reason::Suspended if kind == ConditionType::Ready => Some(Severity::Normal),
        _ => None,
    }
}
