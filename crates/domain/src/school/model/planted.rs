//! The tests of the tests: planners with a planted bug, each of which the properties must catch.

use super::*;

type Planner = Box<dyn Fn(&Desired, &ObservedSchool) -> Plan>;

/// A planner that does `to` wherever the real one does something `from` matches.
fn instead(from: impl Fn(&Plan, &Desired, &AssignedSchool) -> bool + 'static, to: Plan) -> Planner {
    Box::new(move |desired, observed| match (plan(desired, observed), &observed.assignment) {
        (planned, Assignment::Assigned(assigned)) if from(&planned, desired, assigned) => to.clone(),
        (planned, _) => planned,
    })
}

#[expect(clippy::too_many_lines, reason = "one list, a line or two for each bug")]
fn planted_bugs() -> Vec<(&'static str, Planner)> {
    use Action as A;
    use Plan::{Execute, Refuse, Settled, Wait};
    let is = |action: Action| move |planned: &Plan, _: &Desired, _: &AssignedSchool| *planned == Execute(action.clone());
    let refuses = |refusal: Refusal| move |planned: &Plan, _: &Desired, _: &AssignedSchool| *planned == Refuse(refusal);
    let gone = |desired: &Desired| matches!(desired, Desired::Deleted(DeletionPolicy::Delete));
    let catalog = |assigned: &AssignedSchool, database: ObservedDatabase| matches!(assigned.server, ServerObservation::Available(catalog) if catalog.database == database);
    vec![
        ("drops while still open", instead(move |p, w, _| *p == Execute(A::CloseDatabase) && gone(w), Execute(A::DropDatabase))),
        ("drops what is to be retained", instead(is(A::SetTenant(TenantState::Retained)), Execute(A::DropDatabase))),
        (
            "drops a suspended school",
            instead(|p, w, _| *p == Execute(A::CloseDatabase) && matches!(w, Desired::Present(_)), Execute(A::DropDatabase)),
        ),
        (
            "drops before routes stop",
            instead(move |p, w, _| *p == Execute(A::SetTenant(TenantState::Suspended)) && gone(w), Execute(A::DropDatabase)),
        ),
        (
            "drops a foreign database",
            instead(
                move |p, w, b| *p == Execute(A::SetTenant(TenantState::Deleted)) && gone(w) && catalog(b, ObservedDatabase::Foreign),
                Execute(A::DropDatabase),
            ),
        ),
        ("forgets while the database stands", instead(is(A::DropDatabase), Execute(A::SetTenant(TenantState::Deleted)))),
        ("leaves the login behind", instead(is(A::DropLogin), Execute(A::SetTenant(TenantState::Deleted)))),
        (
            "takes silence for absence",
            instead(move |p, w, _| matches!(p, Wait(Waiting::Server(_))) && gone(w), Execute(A::RemoveFinalizer)),
        ),
        ("gives up a server that is away", instead(move |p, w, _| matches!(p, Wait(Waiting::Server(_))) && gone(w), Settled)),
        ("leaves early", instead(is(A::SetTenant(TenantState::Retained)), Execute(A::RemoveFinalizer))),
        ("closes before routes stop", instead(is(A::SetTenant(TenantState::Suspended)), Execute(A::CloseDatabase))),
        (
            "claims before the password is safe",
            instead(
                |p, _, b| {
                    *p == Execute(A::WriteSecret)
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
                Execute(A::ClaimDatabase),
            ),
        ),
        ("makes an empty database in place of a lost one", instead(refuses(Refusal::DatabaseMissing), Execute(A::StageDatabase))),
        ("stages without end", instead(is(A::ClaimDatabase), Execute(A::StageDatabase))),
        ("routes before the administrator exists", instead(is(A::CreateAdmin), Execute(A::Publish(TenantState::Active)))),
        (
            "routes to an old schema",
            instead(
                |p, _, b| matches!(p, Execute(A::Migrate { .. })) && b.admin == ObservedAdmin::Exists,
                Execute(A::Publish(TenantState::Active)),
            ),
        ),
        (
            "routes to a closed door",
            instead(|p, _, b| *p == Execute(A::OpenDatabase) && b.admin == ObservedAdmin::Exists, Execute(A::Publish(TenantState::Active))),
        ),
        ("takes a foreign Secret", instead(refuses(Refusal::SecretConflict), Execute(A::WriteSecret))),
        ("takes a foreign administrator's Secret", instead(refuses(Refusal::AdminSecretConflict), Execute(A::WriteAdminSecret))),
        ("takes another tenant's code", instead(refuses(Refusal::NameConflict), Execute(A::ReserveTenant))),
        ("takes a foreign login", instead(refuses(Refusal::LoginConflict), Execute(A::SetPassword))),
        ("downgrades", instead(refuses(Refusal::AheadOfOperator), Settled)),
        ("trusts edited migrations", instead(refuses(Refusal::SchemaEdited), Settled)),
        ("revives a retired tenant", instead(refuses(Refusal::TenantRetired), Execute(A::ReserveTenant))),
        (
            "skips a migration",
            Box::new(|w, s| match plan(w, s) {
                Execute(A::Migrate { from, to }) => Execute(A::Migrate { from, to: to + 1 }),
                p => p,
            }),
        ),
        (
            "migrates a suspended school",
            Box::new(|w, s| match (plan(w, s), w) {
                (Settled, Desired::Present(a)) if a.suspended => Execute(A::Migrate { from: 1, to: 2 }),
                (p, _) => p,
            }),
        ),
        (
            "lets a drifted door be",
            instead(
                |p, _, b| {
                    *p == Execute(A::OpenDatabase) && matches!(b.tenant, ObservedTenant::Ours { state: TenantState::Active, current: true })
                },
                Settled,
            ),
        ),
        (
            "never writes the finalizer",
            Box::new(|w, s| match (plan(w, s), &s.assignment) {
                (Execute(A::AddFinalizer), Assignment::Unassigned(Ok(c))) => Execute(A::RecordNames(c.clone())),
                (p, _) => p,
            }),
        ),
        (
            "adds the finalizer to what is going",
            Box::new(|w, s| match (plan(w, s), w) {
                (Settled, Desired::Deleted(_)) => Execute(A::AddFinalizer),
                (p, _) => p,
            }),
        ),
        ("says done at once", Box::new(|_, _| Settled)),
    ]
}

#[test]
fn every_planted_bug_is_caught() {
    let worlds = worlds();
    // Where a bug plans as the planner does, the planner's own test has looked already.
    let caught = |bug: &Planner| check_from(&worlds, |desired, observed| bug(desired, observed) != plan(desired, observed), bug).is_err();
    let missed: Vec<_> = planted_bugs().into_iter().filter(|(_, bug)| !caught(bug)).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
