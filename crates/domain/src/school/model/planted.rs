//! The tests of the tests: planners with a planted bug, each of which the properties must catch.

use super::*;

type Planner = Box<dyn Fn(&Wanted, &Seen) -> Plan>;

/// A planner that does `to` wherever the real one does something `from` matches.
fn instead(from: impl Fn(&Plan, &Wanted, &Bound) -> bool + 'static, to: Plan) -> Planner {
    Box::new(move |wanted, seen| match (plan(wanted, seen), &seen.binding) {
        (planned, Binding::Bound(bound)) if from(&planned, wanted, bound) => to.clone(),
        (planned, _) => planned,
    })
}

#[expect(clippy::too_many_lines, reason = "one list, a line or two for each bug")]
fn planted_bugs() -> Vec<(&'static str, Planner)> {
    use Action as A;
    use Plan::{Act, Refuse, Settled, Wait};
    let is = |action: Action| move |planned: &Plan, _: &Wanted, _: &Bound| *planned == Act(action.clone());
    let refuses = |refusal: Refusal| move |planned: &Plan, _: &Wanted, _: &Bound| *planned == Refuse(refusal);
    let gone = |wanted: &Wanted| matches!(wanted, Wanted::Gone(OnDelete::Delete));
    let here = |bound: &Bound, database: Database| matches!(bound.server, Server::Here(here) if here.database == database);
    vec![
        ("drops while still open", instead(move |p, w, _| *p == Act(A::CloseDatabase) && gone(w), Act(A::DropDatabase))),
        ("drops what is to be retained", instead(is(A::SetTenant(TenantState::Retained)), Act(A::DropDatabase))),
        ("drops a suspended school", instead(|p, w, _| *p == Act(A::CloseDatabase) && matches!(w, Wanted::Kept(_)), Act(A::DropDatabase))),
        (
            "drops before routes stop",
            instead(move |p, w, _| *p == Act(A::SetTenant(TenantState::Suspended)) && gone(w), Act(A::DropDatabase)),
        ),
        (
            "drops a foreign database",
            instead(
                move |p, w, b| *p == Act(A::SetTenant(TenantState::Deleted)) && gone(w) && here(b, Database::Foreign),
                Act(A::DropDatabase),
            ),
        ),
        ("forgets while the database stands", instead(is(A::DropDatabase), Act(A::SetTenant(TenantState::Deleted)))),
        ("leaves the login behind", instead(is(A::DropLogin), Act(A::SetTenant(TenantState::Deleted)))),
        ("takes silence for absence", instead(move |p, w, _| matches!(p, Wait(Waiting::Server(_))) && gone(w), Act(A::RemoveFinalizer))),
        ("gives up a server that is away", instead(move |p, w, _| matches!(p, Wait(Waiting::Server(_))) && gone(w), Settled)),
        ("leaves early", instead(is(A::SetTenant(TenantState::Retained)), Act(A::RemoveFinalizer))),
        ("closes before routes stop", instead(is(A::SetTenant(TenantState::Suspended)), Act(A::CloseDatabase))),
        (
            "claims before the password is safe",
            instead(
                |p, _, b| {
                    *p == Act(A::WriteSecret)
                        && matches!(b.server, Server::Here(OnServer { spare: true, database: Database::Absent, login: Login::Absent, .. }))
                },
                Act(A::ClaimDatabase),
            ),
        ),
        ("makes an empty database in place of a lost one", instead(refuses(Refusal::DatabaseMissing), Act(A::StageDatabase))),
        ("stages without end", instead(is(A::ClaimDatabase), Act(A::StageDatabase))),
        ("routes before the administrator exists", instead(is(A::CreateAdmin), Act(A::Publish(TenantState::Active)))),
        (
            "routes to an old schema",
            instead(|p, _, b| matches!(p, Act(A::Migrate { .. })) && b.admin == Admin::Made, Act(A::Publish(TenantState::Active))),
        ),
        (
            "routes to a closed door",
            instead(|p, _, b| *p == Act(A::OpenDatabase) && b.admin == Admin::Made, Act(A::Publish(TenantState::Active))),
        ),
        ("takes a foreign Secret", instead(refuses(Refusal::SecretConflict), Act(A::WriteSecret))),
        ("takes a foreign administrator's Secret", instead(refuses(Refusal::AdminSecretConflict), Act(A::WriteAdminSecret))),
        ("takes another tenant's code", instead(refuses(Refusal::NameConflict), Act(A::ReserveTenant))),
        ("takes a foreign login", instead(refuses(Refusal::LoginConflict), Act(A::SetPassword))),
        ("downgrades", instead(refuses(Refusal::AheadOfOperator), Settled)),
        ("trusts edited migrations", instead(refuses(Refusal::SchemaEdited), Settled)),
        ("revives a retired tenant", instead(refuses(Refusal::TenantRetired), Act(A::ReserveTenant))),
        (
            "skips a migration",
            Box::new(|w, s| match plan(w, s) {
                Act(A::Migrate { from, to }) => Act(A::Migrate { from, to: to + 1 }),
                p => p,
            }),
        ),
        (
            "migrates a suspended school",
            Box::new(|w, s| match (plan(w, s), w) {
                (Settled, Wanted::Kept(a)) if a.suspended => Act(A::Migrate { from: 1, to: 2 }),
                (p, _) => p,
            }),
        ),
        (
            "lets a drifted door be",
            instead(
                |p, _, b| *p == Act(A::OpenDatabase) && matches!(b.tenant, Tenant::Ours { state: TenantState::Active, current: true }),
                Settled,
            ),
        ),
        (
            "never writes the finalizer",
            Box::new(|w, s| match (plan(w, s), &s.binding) {
                (Act(A::AddFinalizer), Binding::Unbound(Ok(c))) => Act(A::RecordNames(c.clone())),
                (p, _) => p,
            }),
        ),
        (
            "adds the finalizer to what is going",
            Box::new(|w, s| match (plan(w, s), w) {
                (Settled, Wanted::Gone(_)) => Act(A::AddFinalizer),
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
    let caught = |bug: &Planner| check_from(&worlds, |wanted, seen| bug(wanted, seen) != plan(wanted, seen), bug).is_err();
    let missed: Vec<_> = planted_bugs().into_iter().filter(|(_, bug)| !caught(bug)).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
