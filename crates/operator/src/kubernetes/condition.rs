//! Conditions as the API conventions want them: `lastTransitionTime` moves only when `status` does. Pure.
//!
//! Must not choose a status or reason.

use domain::condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The conditions wanted, in their order, each with the time at which its status last changed. Conditions that nothing is said
/// about stay, after these: somebody else owns them, or what they speak of could not be looked at. `generation` is the spec's generation that the
/// wanted ones speak about.
#[must_use]
pub fn merge_conditions(previous: &[Condition], desired: &[condition::Condition], generation: i64, now: Timestamp) -> Vec<Condition> {
    let ours = desired.iter().map(|desired| {
        let (type_, status) = (desired.type_.label(), desired.status.label());
        let before = previous.iter().find(|before| before.type_ == type_ && before.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: desired.reason.label().to_owned(),
            message: desired.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
        }
    });
    let foreign = previous.iter().filter(|before| desired.iter().all(|desired| desired.type_.label() != before.type_));
    ours.chain(foreign.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::condition::{ConditionStatus, ConditionType, Reason};

    fn merged(previous: &[Condition], status: ConditionStatus, reason: Reason, generation: i64, second: i64) -> Vec<Condition> {
        let desired = condition::Condition::new(ConditionType::Ready, status, reason, "a sentence");
        merge_conditions(previous, &[desired], generation, Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_transition_time_moves_when_the_status_changes_and_only_then() {
        let at = |condition: &Condition| condition.last_transition_time.0.as_second();
        let first = merged(&[], ConditionStatus::True, Reason::Ready, 1, 100);
        let reworded = merged(&first, ConditionStatus::True, Reason::Suspended, 2, 200);
        let failed = merged(&reworded, ConditionStatus::False, Reason::DatabaseUnreachable, 2, 300);
        assert_eq!([at(&first[0]), at(&reworded[0]), at(&failed[0])], [100, 100, 300]);
        assert_eq!((reworded[0].reason.as_str(), reworded[0].observed_generation), ("Suspended", Some(2)));
    }

    #[test]
    fn the_same_wants_give_the_same_conditions_at_any_time() {
        let first = merged(&[], ConditionStatus::True, Reason::Ready, 1, 100);
        assert_eq!(merged(&first, ConditionStatus::True, Reason::Ready, 1, 999), first);
    }

    #[test]
    fn conditions_that_nothing_is_said_about_stay_as_they_were_after_the_others() {
        let mut previous = merged(&[], ConditionStatus::True, Reason::Ready, 1, 100);
        for type_ in ["example.com/Audited", ConditionType::Stalled.label()] {
            previous.push(Condition { type_: type_.to_owned(), ..previous[0].clone() });
        }
        let merged = merged(&previous, ConditionStatus::True, Reason::Ready, 5, 200);
        assert_eq!(merged.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Ready", "example.com/Audited", "Stalled"]);
        assert_eq!(merged[1..], previous[1..]);
    }
}
