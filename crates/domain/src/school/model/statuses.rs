//! What the conditions say in every state.
//!
//! Must not take a condition for true because the plan is settled: routes and door are judged from the facts.

use super::properties::entered;
use super::*;
use crate::condition::Condition;
use crate::failure::{Circumstances, Failure};
use crate::gitops;
use crate::retry::Class;
use crate::school::status::report_failure;

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

#[test]
fn argo_cd_and_flux_take_a_school_for_what_it_is_in_every_state() {
    let mut distinct = gitops::Distinct::new();
    for desired in desires() {
        let suspended = matches!(&desired, Desired::Present(school) if school.suspended);
        // What is deleted has a timestamp, which every tool looks at first.
        for observed in worlds().iter().filter(|_| matches!(desired, Desired::Present(_))) {
            let planned = plan(&desired, observed);
            for overdue in [false, true] {
                gitops::add(&mut distinct, report(&desired, observed, &planned, overdue), planned == Plan::Settled, suspended);
            }
        }
    }
    let script = gitops::Script::of("School");
    assert!(distinct.len() > 100, "{}", distinct.len());
    for (conditions, settled, suspended) in distinct.values() {
        gitops::check(&script, conditions, *settled, *suspended);
    }
}

#[test]
fn argo_cd_and_flux_take_a_school_whose_reconcile_failed_for_ready_or_in_work_or_failed() {
    let script = gitops::Script::of("School");
    for reason in
        [Reason::MigrationFailed, Reason::InvalidSpec, Reason::OwnedByAnother, Reason::PasswordRefused, Reason::ProgressingWithRetry]
    {
        for (was_ready, overdue) in [(false, false), (false, true), (true, false), (true, true)] {
            let failure = Failure { class: Class::Denied, reason, message: "it failed".to_owned() };
            let mut conditions = report_failure(&failure, Circumstances { deleting: false, was_ready, overdue }, None);
            if !conditions.iter().any(|condition| condition.type_ == ConditionType::Ready) {
                // It stays as it was written before.
                conditions.push(Condition::new(
                    ConditionType::Ready,
                    ConditionStatus::from(was_ready),
                    Reason::Ready,
                    "the school is served",
                ));
            }
            let shown = gitops::Shown::now(&conditions);
            let (health, failed) = (script.health(&shown).0, status_of(&conditions, ConditionType::Stalled) == Some(ConditionStatus::True));
            let expected = if failed {
                "Degraded"
            } else if was_ready {
                "Healthy"
            } else {
                "Progressing"
            };
            assert_eq!(health, expected, "{conditions:#?}");
            assert_eq!(
                gitops::kstatus(&shown),
                if failed && status_of(&conditions, ConditionType::Reconciling) == Some(ConditionStatus::False) {
                    "Failed"
                } else {
                    "InProgress"
                }
            );
        }
    }
}
