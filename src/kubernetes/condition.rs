//! Conditions as the API conventions want them: `lastTransitionTime` moves only when `status` does. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// What one condition should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// `Ready`, `Reconciling`, …
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// One word, `CamelCase`.
    pub reason: &'a str,
    /// For a person; without times and counters, because every change of it is a write.
    pub message: &'a str,
}

/// The claims as conditions, in their order, each with the time at which its status last changed. Conditions of other types stay, after ours:
/// somebody else may own them. `generation` is the spec's generation that the claims speak about.
#[must_use]
pub fn merge_conditions(previous: &[Condition], wanted: &[Claim<'_>], generation: i64, now: Timestamp) -> Vec<Condition> {
    let ours = wanted.iter().map(|claim| {
        let before = previous.iter().find(|condition| condition.type_ == claim.kind && condition.status == claim.status);
        Condition {
            type_: claim.kind.to_owned(),
            status: claim.status.to_owned(),
            reason: claim.reason.to_owned(),
            message: claim.message.to_owned(),
            observed_generation: Some(generation),
            last_transition_time: before.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    });
    let foreign = previous.iter().filter(|condition| wanted.iter().all(|claim| claim.kind != condition.type_));
    ours.chain(foreign.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Claim<'_> = Claim { kind: "Ready", status: "True", reason: "Ready", message: "serving" };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_when_the_status_changes_and_only_then() {
        let first = merge_conditions(&[], &[READY], 1, at(100));
        assert_eq!(first[0].last_transition_time.0, at(100));
        let reworded = merge_conditions(&first, &[Claim { reason: "Suspended", message: "closed", ..READY }], 2, at(200));
        assert_eq!(reworded[0].last_transition_time.0, at(100));
        assert_eq!((reworded[0].reason.as_str(), reworded[0].observed_generation), ("Suspended", Some(2)));
        let failed = merge_conditions(&reworded, &[Claim { status: "False", ..READY }], 2, at(300));
        assert_eq!(failed[0].last_transition_time.0, at(300));
    }

    #[test]
    fn the_same_claims_give_the_same_conditions_at_any_time() {
        let first = merge_conditions(&[], &[READY], 1, at(100));
        assert_eq!(merge_conditions(&first, &[READY], 1, at(999)), first);
    }

    #[test]
    fn conditions_of_other_types_are_left_alone() {
        let foreign = merge_conditions(&[], &[Claim { kind: "Audited", ..READY }], 1, at(1));
        let merged = merge_conditions(&foreign, &[READY], 5, at(2));
        assert_eq!(merged.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Ready", "Audited"]);
        assert_eq!(merged[1], foreign[0]);
    }
}
