//! What the conditions say in every state.
//!
//! Must not take a condition for true because the plan is settled: routes and door are judged from the facts.

use super::properties::entered;
use super::*;
use crate::condition::Condition;

fn status_of(conditions: &[Condition], type_: ConditionType) -> Option<ConditionStatus> {
    conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status)
}

#[test]
fn ready_is_true_exactly_when_the_school_is_settled() {
    for desired in desires() {
        for observed in worlds() {
            let planned = plan(&desired, observed);
            let conditions = report(&desired, observed, &planned, false);
            let is = |type_, status| conditions.iter().filter(|c| c.type_ == type_).all(|c| c.status == status);
            assert_eq!(
                is(ConditionType::Ready, ConditionStatus::True),
                planned == Plan::Settled,
                "{planned:?} at {observed:?} desiring {desired:?}"
            );
            assert!(
                !is(ConditionType::Ready, ConditionStatus::True)
                    || is(ConditionType::Available, ConditionStatus::True)
                    || matches!(&desired, Desired::Present(school) if school.suspended)
                    || matches!(desired, Desired::Deleted(_)),
                "Ready but not served: {observed:?}"
            );
        }
    }
}

#[test]
fn suspended_is_true_only_when_routes_and_door_are_closed() {
    for desired in desires() {
        let closing = !matches!(&desired, Desired::Present(school) if !school.suspended);
        for observed in worlds() {
            let conditions = report(&desired, observed, &plan(&desired, observed), false);
            let suspended = status_of(&conditions, ConditionType::Suspended);
            let Assignment::Assigned(assigned) = &observed.assignment else { continue };
            let known = matches!(assigned.server, ServerObservation::Available(_));
            let open = entered(assigned) || matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active, .. });
            if suspended == Some(ConditionStatus::True) {
                assert!(closing && known && !open, "{observed:?} desiring {desired:?}");
            }
            let settled = status_of(&conditions, ConditionType::Ready) == Some(ConditionStatus::True);
            let closed = matches!(&desired, Desired::Present(school) if school.suspended) && settled;
            assert!(!closed || suspended == Some(ConditionStatus::True), "{observed:?} desiring {desired:?}");
        }
    }
}

#[test]
fn a_served_school_that_waits_for_its_servers_template_is_available_and_never_stalled() {
    let mut waited = 0;
    for desired in desires() {
        for observed in worlds() {
            let planned = plan(&desired, observed);
            let Assignment::Assigned(assigned) = &observed.assignment else { continue };
            let routed = matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active, .. });
            if planned != Plan::Wait(Waiting::Template) || !routed {
                continue;
            }
            waited += 1;
            for overdue in [false, true] {
                let conditions = report(&desired, observed, &planned, overdue);
                let status = |type_| status_of(&conditions, type_).unwrap();
                assert_eq!(status(ConditionType::Stalled), ConditionStatus::False, "{observed:?}");
                assert_eq!(status(ConditionType::Reconciling), ConditionStatus::False, "a deadline would count: {observed:?}");
                let open =
                    matches!(assigned.server, ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { .. }, .. }));
                assert!(!open || status(ConditionType::Available) == ConditionStatus::True, "{observed:?}");
                let reason = |type_| conditions.iter().find(|condition| condition.type_ == type_).unwrap().reason;
                assert_eq!(reason(ConditionType::Ready), Reason::AwaitingTemplate);
                assert!(!open || reason(ConditionType::SchemaReady) == Reason::AwaitingTemplate);
            }
        }
    }
    assert!(waited > 0);
}

#[test]
fn available_is_true_only_when_requests_are_routed_with_a_password_that_opens_the_database() {
    let desired = Desired::Present(Box::new(school(false, 2)));
    for world in worlds() {
        let mut observed = world.clone();
        for used in [false, true] {
            if let Assignment::Assigned(assigned) = &mut observed.assignment {
                assigned.routed = used;
            }
            let Assignment::Assigned(assigned) = &observed.assignment else { continue };
            // What a server that cannot be queried means for its schools is the wording's to say.
            if matches!(assigned.server, ServerObservation::Unavailable(_)) {
                continue;
            }
            let conditions = report(&desired, &observed, &plan(&desired, &observed), false);
            let active = matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active, .. });
            let open = matches!(
                assigned.server,
                ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { access: DatabaseAccess::Open, .. }, .. })
            );
            let expected = active && open && used;
            assert_eq!(status_of(&conditions, ConditionType::Available) == Some(ConditionStatus::True), expected, "{observed:?}");
        }
    }
}
