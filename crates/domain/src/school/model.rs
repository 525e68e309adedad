//! The planner against every state there is: each (desired, observed) pair, reachable or not, is followed action by action to its end.
//!
//! `apply` says what the world becomes when an action lands; the tests of the actions hold the real servers to the same words.
//! Must not share code with the planner where it states the goal: the two must be able to disagree.

mod apply;
mod planted;
mod properties;
mod scenarios;
mod statuses;
mod worlds;

use std::collections::HashSet;

use uuid::Uuid;

use self::apply::apply;
use self::properties::check_plan;
use self::worlds::{desires, worlds};
use super::action::{Action, ObjectAction, RegistryAction, SecretAction, ServerAction};
use super::admissible::admissible;
use super::desired::{DeletionPolicy, Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, Names, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedReset, ObservedResetSecret, ObservedSchool, ObservedSecret, ObservedTenant, Schema, SecretContent, ServerObservation,
    Unavailable,
};
use super::plan::{Plan, Refusal, Waiting, plan};
use super::status::report;
use crate::condition::{ConditionStatus, ConditionType, Reason};
use crate::names::{DatabaseName, LoginName, SchoolCode, SecretName, ServerName, TenantId};
use crate::placement::{Cause, Placement, PlacementRequest, Unplaced};
use crate::tenant::{InactiveState, Person, Profile, TenantState};
use crate::tier::Tier;

const STATES: [TenantState; 5] =
    [TenantState::Provisioning, TenantState::Active, TenantState::Suspended, TenantState::Retained, TenantState::Deleted];
const ACCESSES: [DatabaseAccess; 4] = [DatabaseAccess::Open, DatabaseAccess::Closed, DatabaseAccess::Barred, DatabaseAccess::Drifted];

fn school(suspended: bool, schema: u32) -> DesiredSchool {
    DesiredSchool {
        code: SchoolCode::parse("cedar").unwrap(),
        profile: Profile { name: "Cedar".into(), email: "office@cedar.example".into(), phone_number: None },
        admin: Person { name: "Ana".into(), email: "ana@cedar.example".into() },
        placement: PlacementRequest { tier: Tier::Standard, server: None },
        secret: SecretName::parse("cedar-db").unwrap(),
        connection_limit: 20,
        suspended,
        schema,
    }
}

fn names() -> Names {
    let database = DatabaseName::of(&SchoolCode::parse("cedar").unwrap());
    Names {
        tenant: TenantId(Uuid::from_u128(7)),
        server: ServerName::parse("pg-1").unwrap(),
        login: LoginName::of(&database),
        database,
        secret: SecretName::parse("cedar-db").unwrap(),
        admin_secret: SecretName::parse("cedar-admin").unwrap(),
    }
}

fn placement() -> Placement {
    Placement { server: ServerName::parse("pg-1").unwrap(), tier: Tier::Standard, reason: "the only one".into() }
}

/// Every property, for any planner, over every pair. A state that a path has already left lawfully is not followed again.
fn check(plan: impl Fn(&Desired, &ObservedSchool) -> Plan) -> Result<String, String> {
    check_from(worlds(), |_, _| true, plan)
}

/// The same, from some of the pairs only.
fn check_from(
    worlds: &[ObservedSchool],
    from: impl Fn(&Desired, &ObservedSchool) -> bool,
    plan: impl Fn(&Desired, &ObservedSchool) -> Plan,
) -> Result<String, String> {
    let (mut actions, mut longest) = (0_usize, 0);
    let desires = desires();
    for desired in &desires {
        let mut followed = HashSet::new();
        for start in worlds.iter().filter(|start| from(desired, start)) {
            let (mut observed, mut path) = (start.clone(), HashSet::new());
            while !followed.contains(&observed) {
                let next = plan(desired, &observed);
                check_plan(desired, &observed, &next)?;
                let Plan::Execute(action) = next else { break };
                let after = apply(&observed, &action);
                if !path.insert(std::mem::replace(&mut observed, after)) {
                    return Err(format!("cycle with {action:?} at {observed:?} desiring {desired:?}"));
                }
                actions += 1;
            }
            longest = longest.max(path.len());
            followed.extend(path);
        }
    }
    Ok(format!("{} pairs, {actions} actions, longest new path {longest}", desires.len() * worlds.len()))
}

#[test]
fn the_planner_holds_every_property_in_every_state() {
    println!("{}", check(plan).unwrap());
}

/// The same world, with Secrets that were not read.
fn without_secrets(observed: &ObservedSchool) -> ObservedSchool {
    let mut unread = observed.clone();
    if let Assignment::Assigned(assigned) = &mut unread.assignment {
        assigned.secret = ObservedSecret::Unread;
        if let ObservedAdmin::Missing(secret) = &mut assigned.admin {
            *secret = ObservedAdminSecret::Unread;
        }
        if let ObservedReset::Requested(secret) = &mut assigned.reset {
            *secret = ObservedResetSecret::Unread;
        }
    }
    unread
}

#[test]
fn suspending_and_deleting_are_decided_from_names_registry_and_server_alone() {
    for desired in desires() {
        for observed in worlds() {
            let Assignment::Assigned(assigned) = &observed.assignment else { continue };
            let served = matches!(&desired, Desired::Present(school) if !school.suspended);
            // A school that never had a database gets one, for which a password must be stored.
            let made = matches!(desired, Desired::Present(_))
                && matches!(assigned.server, ServerObservation::Available(catalog) if catalog.database == ObservedDatabase::Absent);
            if !served && !made {
                assert_eq!(plan(&desired, observed), plan(&desired, &without_secrets(observed)), "{observed:?} desiring {desired:?}");
            }
        }
    }
}

#[test]
fn every_action_is_planned_in_some_state() {
    let planned: HashSet<_> = desires()
        .iter()
        .flat_map(|desired| worlds().iter().map(move |observed| plan(desired, observed)))
        .filter_map(|planned| if let Plan::Execute(action) = planned { Some(action.label()) } else { None })
        .collect();
    assert_eq!(planned, Action::labels().into_iter().collect());
}
