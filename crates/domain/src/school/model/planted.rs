//! The tests of the tests: planners with a planted bug, each of which the properties must catch.
//!
//! Must not change the real planner: each bug wraps it.

use super::*;
use crate::plan::Plan::{Execute, Refuse, Settled, Wait};

type Planner = Box<dyn Fn(&Desired, &ObservedSchool) -> Plan>;
/// What the bug does, and the planner that has it.
type Bug = (&'static str, Planner);

/// A planner that does `to` wherever the real one does something `from` matches.
fn instead(from: impl Fn(&Plan, &Desired, &AssignedSchool) -> bool + 'static, to: Plan) -> Planner {
    Box::new(move |desired, observed| match (plan(desired, observed), &observed.assignment) {
        (planned, Assignment::Assigned(assigned)) if from(&planned, desired, assigned) => to.clone(),
        (planned, _) => planned,
    })
}

fn execute(action: impl Into<Action>) -> Plan {
    Plan::Execute(action.into())
}

/// The real planner executes this action.
fn is(action: impl Into<Action>) -> impl Fn(&Plan, &Desired, &AssignedSchool) -> bool {
    let planned = execute(action);
    move |now: &Plan, _: &Desired, _: &AssignedSchool| *now == planned
}

fn gone(desired: &Desired) -> bool {
    matches!(desired, Desired::Deleted(DeletionPolicy::Delete))
}

/// The server answers and has a database of the name that is not ours.
fn is_foreign(assigned: &AssignedSchool) -> bool {
    matches!(assigned.server, ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Foreign { .. }, .. }))
}

fn is_suspended(desired: &Desired) -> bool {
    matches!(desired, Desired::Present(school) if school.suspended)
}

fn refuses(refusal: Refusal) -> impl Fn(&Plan, &Desired, &AssignedSchool) -> bool {
    move |planned, _, _| *planned == Refuse(refusal)
}

/// Bugs in deleting a School: what they would lose, leave behind or cut off.
fn in_deleting() -> Vec<Bug> {
    vec![
        (
            "drops while still open",
            instead(move |p, w, _| *p == execute(ServerAction::CloseDatabase) && gone(w), execute(ServerAction::DropDatabase)),
        ),
        (
            "drops what is to be retained",
            instead(is(RegistryAction::SetTenantState(InactiveState::Retained)), execute(ServerAction::DropDatabase)),
        ),
        (
            "drops before routes stop",
            instead(
                move |p, w, _| *p == execute(RegistryAction::SetTenantState(InactiveState::Suspended)) && gone(w),
                execute(ServerAction::DropDatabase),
            ),
        ),
        (
            "drops a foreign database",
            instead(
                move |p, w, b| *p == execute(RegistryAction::SetTenantState(InactiveState::Deleted)) && gone(w) && is_foreign(b),
                execute(ServerAction::DropDatabase),
            ),
        ),
        (
            "forgets while the database stands",
            instead(is(ServerAction::DropDatabase), execute(RegistryAction::SetTenantState(InactiveState::Deleted))),
        ),
        ("leaves the login behind", instead(is(ServerAction::DropLogin), execute(RegistryAction::SetTenantState(InactiveState::Deleted)))),
        (
            "takes silence for absence",
            instead(move |p, w, _| matches!(p, Wait(Waiting::Server(_))) && gone(w), execute(ObjectAction::RemoveFinalizer)),
        ),
        ("gives up a server that is away", instead(move |p, w, _| matches!(p, Wait(Waiting::Server(_))) && gone(w), Settled)),
        ("leaves early", instead(is(RegistryAction::SetTenantState(InactiveState::Retained)), execute(ObjectAction::RemoveFinalizer))),
        (
            "adds the finalizer to what is going",
            Box::new(|w, s| match (plan(w, s), w) {
                (Settled, Desired::Deleted(_)) => execute(ObjectAction::AddFinalizer),
                (p, _) => p,
            }),
        ),
    ]
}

/// Bugs in deleting a School that lost its row, or never owned its database.
fn in_leaving() -> Vec<Bug> {
    let reserves = |p: &Plan, w: &Desired| *p == execute(RegistryAction::ReserveTenant) && matches!(w, Desired::Deleted(_));
    vec![
        ("leaves what has no row", instead(move |p, w, _| reserves(p, w), execute(ObjectAction::RemoveFinalizer))),
        ("drops what has no row", instead(move |p, w, _| reserves(p, w) && gone(w), execute(ServerAction::DropDatabase))),
        (
            "leaves a closed database whose code another tenant took",
            instead(refuses(Refusal::CodeTaken), execute(ObjectAction::RemoveFinalizer)),
        ),
        (
            "retains what it never owned",
            instead(
                |p, w, _| {
                    *p == execute(RegistryAction::SetTenantState(InactiveState::Deleted)) && *w == Desired::Deleted(DeletionPolicy::Retain)
                },
                execute(RegistryAction::SetTenantState(InactiveState::Retained)),
            ),
        ),
        (
            "waits for a Secret of a School that goes",
            instead(
                |p, w, b| matches!(p, Execute(_)) && matches!(w, Desired::Deleted(_)) && b.secret == ObservedSecret::Unread,
                Wait(Waiting::Secret),
            ),
        ),
    ]
}

/// Bugs in closing a School that is to be suspended.
fn in_suspending() -> Vec<Bug> {
    let closes = is(ServerAction::CloseDatabase);
    vec![
        (
            "stays open because of a foreign Secret",
            instead(
                |p, w, b| matches!(p, Execute(_)) && is_suspended(w) && b.secret == ObservedSecret::Foreign,
                Refuse(Refusal::SecretConflict),
            ),
        ),
        (
            "stays open because of a Secret that cannot be read",
            instead(|p, w, b| matches!(p, Execute(_)) && is_suspended(w) && b.secret == ObservedSecret::Unread, Wait(Waiting::Secret)),
        ),
        (
            "corrects the Secret first",
            instead(
                move |p, w, b| closes(p, w, b) && is_suspended(w) && b.secret == ObservedSecret::Ours(SecretContent::Stale),
                execute(SecretAction::RepairSecret { new_password: false }),
            ),
        ),
        (
            "lets our login into a database that lost its comment",
            instead(
                |p, w, b| *p == execute(ServerAction::CloseDatabase) && is_suspended(w) && is_foreign(b),
                Refuse(Refusal::DatabaseConflict),
            ),
        ),
    ]
}

/// The planner, which takes a School's database for one that never existed.
fn forgetful(desired: &Desired, observed: &ObservedSchool) -> Plan {
    let mut forgotten = observed.clone();
    if let Assignment::Assigned(assigned) = &mut forgotten.assignment {
        assigned.existed = false;
    }
    plan(desired, &forgotten)
}

/// Bugs in the order of steps.
fn in_order() -> Vec<Bug> {
    vec![
        (
            "drops a suspended school",
            instead(
                |p, w, _| *p == execute(ServerAction::CloseDatabase) && matches!(w, Desired::Present(_)),
                execute(ServerAction::DropDatabase),
            ),
        ),
        (
            "closes before routes stop",
            instead(is(RegistryAction::SetTenantState(InactiveState::Suspended)), execute(ServerAction::CloseDatabase)),
        ),
        (
            "claims before the password is safe",
            instead(
                |p, _, b| {
                    *p == execute(SecretAction::WriteSecret)
                        && matches!(
                            b.server,
                            ServerObservation::Available(CatalogFacts {
                                spare: true,
                                database: ObservedDatabase::Absent,
                                login: ObservedLogin::Absent,
                                ..
                            })
                        )
                },
                execute(ServerAction::ClaimDatabase),
            ),
        ),
        ("stages without end", instead(is(ServerAction::ClaimDatabase), execute(ServerAction::StageDatabase))),
        (
            "never writes the finalizer",
            Box::new(|w, s| match (plan(w, s), &s.assignment) {
                (Execute(Action::Object(ObjectAction::AddFinalizer)), Assignment::Unassigned(Ok(c))) => {
                    execute(ObjectAction::RecordNames(c.clone()))
                }
                (p, _) => p,
            }),
        ),
    ]
}

/// Bugs in publishing a route before everything that it leads to is there.
fn in_routing() -> Vec<Bug> {
    vec![
        (
            "routes before the administrator exists",
            instead(is(RegistryAction::CreateAdmin), execute(RegistryAction::PublishRoute(TenantState::Active))),
        ),
        (
            "routes to an old schema",
            instead(
                |p, _, b| matches!(p, Execute(Action::Server(ServerAction::Migrate { .. }))) && b.admin == ObservedAdmin::Exists,
                execute(RegistryAction::PublishRoute(TenantState::Active)),
            ),
        ),
        (
            "routes to a closed door",
            instead(
                |p, _, b| *p == execute(ServerAction::EnsureAccess) && b.admin == ObservedAdmin::Exists,
                execute(RegistryAction::PublishRoute(TenantState::Active)),
            ),
        ),
        (
            "routes before the status says that there is a database",
            instead(
                |p, w, b| *p == execute(ObjectAction::RecordDatabase) && !is_suspended(w) && b.admin == ObservedAdmin::Exists,
                execute(RegistryAction::PublishRoute(TenantState::Active)),
            ),
        ),
    ]
}

/// Bugs that go on where the planner refuses.
fn in_refusing() -> Vec<Bug> {
    vec![
        (
            "makes an empty database in place of a lost one",
            instead(refuses(Refusal::DatabaseMissing), execute(ServerAction::StageDatabase)),
        ),
        ("forgets that the database existed", Box::new(forgetful)),
        (
            "takes a lone login for a crash",
            instead(|p, _, b| *p == Refuse(Refusal::DatabaseMissing) && !b.existed, execute(ServerAction::DropLogin)),
        ),
        ("takes a foreign Secret", instead(refuses(Refusal::SecretConflict), execute(SecretAction::WriteSecret))),
        ("takes a foreign administrator's Secret", instead(refuses(Refusal::AdminSecretConflict), execute(SecretAction::WriteAdminSecret))),
        ("takes another tenant's code", instead(refuses(Refusal::NameConflict), execute(RegistryAction::ReserveTenant))),
        ("takes a foreign login", instead(refuses(Refusal::LoginConflict), execute(ServerAction::SetPassword))),
        ("downgrades", instead(refuses(Refusal::AheadOfOperator), Settled)),
        ("trusts edited migrations", instead(refuses(Refusal::SchemaEdited), Settled)),
        ("revives a retired tenant", instead(refuses(Refusal::TenantRetired), execute(RegistryAction::ReserveTenant))),
    ]
}

/// Bugs in migrating a School and keeping it as it should be.
fn in_keeping() -> Vec<Bug> {
    vec![
        (
            "skips a migration",
            Box::new(|w, s| match plan(w, s) {
                Execute(Action::Server(ServerAction::Migrate { from, to })) => execute(ServerAction::Migrate { from, to: to + 1 }),
                p => p,
            }),
        ),
        (
            "migrates a suspended school",
            Box::new(|w, s| match (plan(w, s), w) {
                (Settled, Desired::Present(a)) if a.suspended => execute(ServerAction::Migrate { from: 1, to: 2 }),
                (p, _) => p,
            }),
        ),
        (
            "lets a drifted door be",
            instead(
                |p, _, b| {
                    *p == execute(ServerAction::EnsureAccess)
                        && matches!(b.tenant, ObservedTenant::Ours { state: TenantState::Active, current: true })
                },
                Settled,
            ),
        ),
        ("says done at once", Box::new(|_, _| Settled)),
    ]
}

/// The planner, which believes that every server has its template.
fn sure_of_templates(desired: &Desired, observed: &ObservedSchool) -> Plan {
    let mut believed = observed.clone();
    if let Assignment::Assigned(AssignedSchool { server: ServerObservation::Available(catalog), .. }) = &mut believed.assignment {
        catalog.template = true;
    }
    plan(desired, &believed)
}

/// Bugs in waiting for the server's template.
fn in_awaiting_templates() -> Vec<Bug> {
    let migrates = |p: &Plan| matches!(p, Execute(Action::Server(ServerAction::Migrate { .. })));
    let has_template = |b: &AssignedSchool| matches!(b.server, ServerObservation::Available(CatalogFacts { template: true, .. }));
    let publishes = is(RegistryAction::PublishRoute(TenantState::Active));
    vec![
        ("takes a missing template for one that stands", Box::new(sure_of_templates)),
        ("waits for a template that stands", instead(move |p, _, _| migrates(p), Wait(Waiting::Template))),
        (
            "stages although there is no template",
            instead(
                |p, _, b| *p == Wait(Waiting::Template) && b.secret == ObservedSecret::Ours(SecretContent::Current),
                execute(ServerAction::StageDatabase),
            ),
        ),
        (
            "leaves a served school with an outdated route for want of a template",
            instead(move |p, w, b| publishes(p, w, b) && !has_template(b) && is_behind(w, b), Wait(Waiting::Template)),
        ),
    ]
}

/// Bugs in giving a school's administrator another password.
fn in_resetting() -> Vec<Bug> {
    let issues = is(SecretAction::IssueAdminPassword);
    let resets = is(RegistryAction::ResetAdminPassword);
    let pending = |b: &AssignedSchool| matches!(b.reset, ObservedReset::Requested(_));
    vec![
        ("resets before the password is stored", instead(issues, execute(RegistryAction::ResetAdminPassword))),
        ("issues one password after another", instead(resets, execute(SecretAction::IssueAdminPassword))),
        ("overwrites a foreign Secret", instead(refuses(Refusal::AdminSecretConflict), execute(SecretAction::IssueAdminPassword))),
        ("resets an account that is unclear", instead(refuses(Refusal::ResetUnclear), execute(SecretAction::IssueAdminPassword))),
        (
            "resets the administrator of a suspended school",
            instead(move |p, w, b| *p == Settled && is_suspended(w) && pending(b), execute(RegistryAction::ResetAdminPassword)),
        ),
        (
            "resets the administrator of a school that goes",
            instead(
                move |p, w, b| matches!(p, Execute(_)) && matches!(w, Desired::Deleted(_)) && pending(b),
                execute(SecretAction::IssueAdminPassword),
            ),
        ),
        ("forgets the request", instead(is(SecretAction::IssueAdminPassword), Settled)),
    ]
}

/// Migrations are due.
fn is_behind(desired: &Desired, assigned: &AssignedSchool) -> bool {
    let ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { schema, .. }, .. }) = assigned.server else {
        return false;
    };
    matches!(desired, Desired::Present(school) if schema.version < school.schema)
}

#[test]
fn every_planted_bug_is_caught() {
    // Where a bug plans as the planner does, the planner's own test has looked already.
    let caught = |bug: &Planner| check_from(worlds(), |desired, observed| bug(desired, observed) != plan(desired, observed), bug).is_err();
    let planted = [
        in_deleting(),
        in_leaving(),
        in_suspending(),
        in_order(),
        in_routing(),
        in_refusing(),
        in_keeping(),
        in_awaiting_templates(),
        in_resetting(),
    ]
    .into_iter()
    .flatten();
    let missed: Vec<_> = planted.filter(|(_, bug)| !caught(bug)).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
