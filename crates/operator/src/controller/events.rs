//! When a status is worth an Event: when the reason of Ready or Stalled changes, so that `kubectl describe` shows what happened and not every try of it.
//!
//! Must not decide what a status says.

use domain::condition::{Condition, ConditionType, Reason};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as Written;

use crate::kubernetes::events::{Notice, Recorder, Severity};

/// Publishes what changed. Problems and becoming ready are worth an Event; work in progress is not.
pub(super) fn publish(recorder: &Recorder, about: &ObjectReference, before: &[Written], now: &[Condition]) {
    for type_ in [ConditionType::Ready, ConditionType::Stalled] {
        let Some(now) = now.iter().find(|condition| condition.type_ == type_) else { continue };
        let then = before.iter().find(|written| written.type_ == type_.label());
        let changed = then.is_none_or(|then| then.reason != now.reason.label());
        if let (true, Some(severity)) = (changed, severity(type_, now.reason)) {
            recorder.publish(about, &Notice { severity, reason: now.reason.label(), action: "Reconcile", note: now.message.clone() });
            return;
        }
    }
}

fn severity(type_: ConditionType, reason: Reason) -> Option<Severity> {
    if reason.is_problem() {
        return Some(Severity::Warning);
    }
    let became_ready = type_ == ConditionType::Ready && matches!(reason, Reason::Ready | Reason::Suspended);
    became_ready.then_some(Severity::Normal)
}
