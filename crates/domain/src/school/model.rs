//! The planner against every state there is: each (wanted, seen) pair, reachable or not, is followed step by step to its end.
//!
//! `apply` says what the world becomes when an action lands; the tests of the acts hold the real servers to the same words.
//! Must not share code with the planner where it states the goal: the two must be able to disagree.

mod planted;
mod scenarios;

use std::collections::HashSet;

use uuid::Uuid;

use super::action::{Action, ObjectAction, RegistryAction, SecretAction, ServerAction};
use super::admissible::admissible;
use super::desired::{DeletionPolicy, Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, Names, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedSchool, ObservedSecret, ObservedTenant, Schema, SecretContent, ServerObservation, Unavailable,
};
use super::plan::{Plan, Refusal, Waiting, plan};
use super::status::report;
use crate::condition::{ConditionStatus, ConditionType, Reason};
use crate::names::{DatabaseName, LoginName, SchoolCode, SecretName, ServerName, TenantId};
use crate::placement::{Cause, Placement, PlacementRequest, Unplaced};
use crate::tenant::{Person, Profile, TenantState};
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

/// What the world becomes when `action` lands. A claim is one transaction: database and login appear together.
fn apply(observed: &ObservedSchool, action: &Action) -> ObservedSchool {
    let mut next = observed.clone();
    match (action, &mut next.assignment) {
        (Action::Object(ObjectAction::AddFinalizer), _) => next.finalizer = true,
        (Action::Object(ObjectAction::RemoveFinalizer), _) => next.finalizer = false,
        (Action::Object(ObjectAction::RecordNames(_)), assignment) => *assignment = Assignment::Assigned(fresh()),
        (Action::Registry(action), Assignment::Assigned(assigned)) => apply_in_registry(assigned, *action),
        (Action::Secret(action), Assignment::Assigned(assigned)) => apply_on_secret(assigned, *action),
        (Action::Server(action), Assignment::Assigned(assigned)) => {
            if let ServerObservation::Available(catalog) = &mut assigned.server {
                apply_on_server(catalog, *action);
            }
            if matches!(action, ServerAction::Migrate { .. }) {
                outdate(assigned);
            }
        }
        (Action::Registry(_) | Action::Secret(_) | Action::Server(_), Assignment::Unassigned(_)) => {}
    }
    next
}

/// Just assigned: nothing exists under the names, and the server answers.
fn fresh() -> AssignedSchool {
    AssignedSchool {
        names: names(),
        tenant: ObservedTenant::Absent,
        secret: ObservedSecret::Absent,
        admin: ObservedAdmin::Missing(ObservedAdminSecret::Absent),
        server: ServerObservation::Available(CatalogFacts {
            database: ObservedDatabase::Absent,
            login: ObservedLogin::Absent,
            spare: false,
        }),
    }
}

fn apply_in_registry(assigned: &mut AssignedSchool, action: RegistryAction) {
    match action {
        RegistryAction::ReserveTenant => assigned.tenant = ObservedTenant::Ours { state: TenantState::Provisioning, current: false },
        RegistryAction::SetTenantState(state) => {
            if let ObservedTenant::Ours { current, .. } = assigned.tenant {
                assigned.tenant = ObservedTenant::Ours { state: state.into(), current };
            }
        }
        RegistryAction::PublishRoute(state) => assigned.tenant = ObservedTenant::Ours { state, current: true },
        RegistryAction::CreateAdmin => assigned.admin = ObservedAdmin::Exists,
    }
}

fn apply_on_secret(assigned: &mut AssignedSchool, action: SecretAction) {
    match action {
        SecretAction::WriteSecret | SecretAction::RepairSecret { new_password: true } => {
            assigned.secret = ObservedSecret::Ours(SecretContent::Current);
            outdate(assigned);
            if let ServerObservation::Available(catalog) = &mut assigned.server
                && catalog.login == ObservedLogin::Matching
            {
                catalog.login = ObservedLogin::Differing;
            }
        }
        SecretAction::RepairSecret { new_password: false } => assigned.secret = ObservedSecret::Ours(SecretContent::Current),
        SecretAction::WriteAdminSecret => assigned.admin = ObservedAdmin::Missing(ObservedAdminSecret::Ours),
    }
}

/// The registry's row no longer says what is there.
fn outdate(assigned: &mut AssignedSchool) {
    if let ObservedTenant::Ours { state, .. } = assigned.tenant {
        assigned.tenant = ObservedTenant::Ours { state, current: false };
    }
}

fn apply_on_server(catalog: &mut CatalogFacts, action: ServerAction) {
    match action {
        ServerAction::StageDatabase => catalog.spare = true,
        ServerAction::ClaimDatabase => {
            *catalog = CatalogFacts {
                spare: false,
                database: ObservedDatabase::Ours { schema: Schema { version: 2, genuine: true }, access: DatabaseAccess::Open },
                login: ObservedLogin::Matching,
            };
        }
        ServerAction::RestoreLogin => catalog.login = ObservedLogin::Differing,
        ServerAction::SetPassword => catalog.login = ObservedLogin::Matching,
        ServerAction::DropDatabase => catalog.database = ObservedDatabase::Absent,
        ServerAction::DropLogin => catalog.login = ObservedLogin::Absent,
        ServerAction::Migrate { to, .. } => {
            if let ObservedDatabase::Ours { schema, .. } = &mut catalog.database {
                schema.version = to;
            }
        }
        ServerAction::EnsureAccess => set_access(catalog, DatabaseAccess::Open),
        ServerAction::CloseDatabase => set_access(catalog, DatabaseAccess::Closed),
    }
}

fn set_access(catalog: &mut CatalogFacts, now: DatabaseAccess) {
    if let ObservedDatabase::Ours { access, .. } = &mut catalog.database {
        *access = now;
    }
}

fn wants() -> Vec<Desired> {
    let kept = [false, true].into_iter().flat_map(|suspended| [1, 2].map(|schema| Desired::Present(Box::new(school(suspended, schema)))));
    kept.chain([DeletionPolicy::Retain, DeletionPolicy::Delete].map(Desired::Deleted)).collect()
}

fn tenants() -> Vec<ObservedTenant> {
    let ours = STATES.into_iter().flat_map(|state| [false, true].map(|current| ObservedTenant::Ours { state, current }));
    [ObservedTenant::Absent, ObservedTenant::OfAnother].into_iter().chain(ours).collect()
}

fn servers() -> Vec<ServerObservation> {
    let unusable = Unavailable::Unusable(Reason::AuthenticationFailed);
    let unavailable = [Unavailable::NotFound, Unavailable::Unreachable, Unavailable::NotReady, Unavailable::IdentityMismatch, unusable]
        .map(ServerObservation::Unavailable);
    let ours = (0..4).flat_map(|version| {
        [false, true]
            .into_iter()
            .flat_map(move |genuine| ACCESSES.map(|access| ObservedDatabase::Ours { schema: Schema { version, genuine }, access }))
    });
    let databases = [ObservedDatabase::Absent, ObservedDatabase::Foreign, ObservedDatabase::Broken].into_iter().chain(ours);
    let catalog = databases.flat_map(|database| {
        [ObservedLogin::Absent, ObservedLogin::Foreign, ObservedLogin::Matching, ObservedLogin::Differing]
            .into_iter()
            .flat_map(move |login| [false, true].map(|spare| ServerObservation::Available(CatalogFacts { database, login, spare })))
    });
    unavailable.into_iter().chain(catalog).collect()
}

fn worlds() -> Vec<ObservedSchool> {
    let secrets = [ObservedSecret::Absent, ObservedSecret::Foreign]
        .into_iter()
        .chain([SecretContent::Current, SecretContent::Stale, SecretContent::Unusable].map(ObservedSecret::Ours));
    let admins: Vec<_> = [ObservedAdmin::Exists, ObservedAdmin::EmailTaken]
        .into_iter()
        .chain([ObservedAdminSecret::Absent, ObservedAdminSecret::Foreign, ObservedAdminSecret::Ours].map(ObservedAdmin::Missing))
        .collect();
    let mut all = Vec::new();
    let unplaced = Unplaced { cause: Cause::NoCapacity, message: "pg-1 is full".into() };
    for finalizer in [false, true] {
        all.extend(
            [Ok(placement()), Err(unplaced.clone())].map(|placed| ObservedSchool { finalizer, assignment: Assignment::Unassigned(placed) }),
        );
        for (secret, &admin) in secrets.clone().flat_map(|secret| admins.iter().map(move |admin| (secret, admin))) {
            for (tenant, server) in tenants().into_iter().flat_map(|tenant| servers().into_iter().map(move |server| (tenant, server))) {
                all.push(ObservedSchool {
                    finalizer,
                    assignment: Assignment::Assigned(AssignedSchool { names: names(), tenant, secret, admin, server }),
                });
            }
        }
    }
    all
}

/// The goal, written without the planner.
fn satisfied(desired: &Desired, observed: &ObservedSchool) -> bool {
    let Desired::Present(school) = desired else { return !observed.finalizer };
    let Assignment::Assigned(assigned) = &observed.assignment else { return false };
    let ServerObservation::Available(CatalogFacts {
        database: ObservedDatabase::Ours { schema, access },
        login: ObservedLogin::Matching,
        ..
    }) = assigned.server
    else {
        return false;
    };
    let base = observed.finalizer && assigned.secret == ObservedSecret::Ours(SecretContent::Current) && schema.genuine;
    if school.suspended {
        base && assigned.tenant == (ObservedTenant::Ours { state: TenantState::Suspended, current: true })
            && access == DatabaseAccess::Closed
            && schema.version <= school.schema
    } else {
        base && assigned.tenant == (ObservedTenant::Ours { state: TenantState::Active, current: true })
            && access == DatabaseAccess::Open
            && schema.version == school.schema
            && assigned.admin == ObservedAdmin::Exists
    }
}

/// What is somebody else's in a world.
fn foreign(observed: &ObservedSchool) -> [bool; 5] {
    let Assignment::Assigned(assigned) = &observed.assignment else { return [false; 5] };
    let (database, login) = match assigned.server {
        ServerObservation::Available(catalog) => (catalog.database == ObservedDatabase::Foreign, catalog.login == ObservedLogin::Foreign),
        ServerObservation::Unavailable(_) => (false, false),
    };
    let admin = assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Foreign);
    [database, login, admin, assigned.secret == ObservedSecret::Foreign, assigned.tenant == ObservedTenant::OfAnother]
}

/// Data is lost only when deletion is asked for with `Delete`, routes have stopped and the database is closed.
fn drops_lawfully(desired: &Desired, observed: &ObservedSchool) -> bool {
    let Assignment::Assigned(assigned) = &observed.assignment else { return false };
    let entered = matches!(
        assigned.server,
        ServerObservation::Available(CatalogFacts {
            database: ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. },
            ..
        })
    );
    let routed = matches!(
        assigned.tenant,
        ObservedTenant::Ours { state: TenantState::Active | TenantState::Provisioning, .. }
            | ObservedTenant::Absent
            | ObservedTenant::OfAnother
    );
    *desired == Desired::Deleted(DeletionPolicy::Delete) && !entered && !routed
}

/// One turn's properties.
fn check_action(desired: &Desired, observed: &ObservedSchool, next: &Plan) -> Result<(), String> {
    let at = || format!("{next:?} at {observed:?} wanting {desired:?}");
    if (*next == Plan::Settled) != satisfied(desired, observed) {
        return Err(format!("settled is not the goal: {}", at()));
    }
    match next {
        Plan::Execute(action) if !admissible(desired, observed, action) => Err(format!("planned where it must not land: {}", at())),
        Plan::Execute(Action::Server(ServerAction::DropDatabase)) if !drops_lawfully(desired, observed) => {
            Err(format!("data lost: {}", at()))
        }
        Plan::Execute(action) if foreign(observed) != foreign(&apply(observed, action)) => {
            Err(format!("touches what is not ours: {}", at()))
        }
        Plan::Wait(_) | Plan::Refuse(_) if matches!(desired, Desired::Present(_)) && !observed.finalizer => {
            Err(format!("gives up before it began: {}", at()))
        }
        _ => Ok(()),
    }
}

/// Every property, for any planner, over every pair. A state that a path has already left lawfully is not followed again.
fn check(plan: impl Fn(&Desired, &ObservedSchool) -> Plan) -> Result<String, String> {
    check_from(&worlds(), |_, _| true, plan)
}

/// The same, from some of the pairs only.
fn check_from(
    worlds: &[ObservedSchool],
    from: impl Fn(&Desired, &ObservedSchool) -> bool,
    plan: impl Fn(&Desired, &ObservedSchool) -> Plan,
) -> Result<String, String> {
    let (mut actions, mut longest) = (0_usize, 0);
    let wants = wants();
    for desired in &wants {
        let mut followed = HashSet::new();
        for start in worlds.iter().filter(|start| from(desired, start)) {
            let (mut observed, mut path) = (start.clone(), HashSet::new());
            while !followed.contains(&observed) {
                let next = plan(desired, &observed);
                check_action(desired, &observed, &next)?;
                let Plan::Execute(action) = next else { break };
                let after = apply(&observed, &action);
                if !path.insert(std::mem::replace(&mut observed, after)) {
                    return Err(format!("cycle with {action:?} at {observed:?} wanting {desired:?}"));
                }
                actions += 1;
            }
            longest = longest.max(path.len());
            followed.extend(path);
        }
    }
    Ok(format!("{} pairs, {actions} turns, longest new path {longest}", wants.len() * worlds.len()))
}

#[test]
fn the_planner_holds_every_property_in_every_state() {
    println!("{}", check(plan).unwrap());
}

#[test]
fn ready_is_true_exactly_when_the_school_is_settled() {
    for desired in wants() {
        for observed in worlds() {
            let planned = plan(&desired, &observed);
            let conditions = report(&desired, &observed, &planned, false);
            let is = |type_, status| conditions.iter().filter(|c| c.type_ == type_).all(|c| c.status == status);
            assert_eq!(
                is(ConditionType::Ready, ConditionStatus::True),
                planned == Plan::Settled,
                "{planned:?} at {observed:?} wanting {desired:?}"
            );
            assert!(
                !(is(ConditionType::Ready, ConditionStatus::True) && is(ConditionType::Available, ConditionStatus::False))
                    || matches!(&desired, Desired::Present(school) if school.suspended)
                    || matches!(desired, Desired::Deleted(_)),
                "Ready but not served: {observed:?}"
            );
        }
    }
}

#[test]
fn every_action_is_planned_in_some_state() {
    let planned: HashSet<_> = wants()
        .iter()
        .flat_map(|desired| worlds().into_iter().map(move |observed| plan(desired, &observed)))
        .filter_map(|planned| if let Plan::Execute(action) = planned { Some(action.label()) } else { None })
        .collect();
    assert_eq!(planned, Action::labels().into_iter().collect());
}
