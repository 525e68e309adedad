//! The planner against every state there is: each (wanted, seen) pair, reachable or not, is followed step by step to its end.
//!
//! `effect` says what the world becomes when an action lands; the tests of the acts hold the real servers to the same words.

mod planted;
mod stories;

use std::collections::HashSet;

use uuid::Uuid;

use super::action::{Action, admissible};
use super::plan::{Plan, Refusal, Waiting, plan};
use super::seen::{
    Access, Admin, AdminSecret, Away, Binding, Bound, Content, Database, Login, Names, OnServer, Schema, Secret, Seen, Server, Tenant,
    TenantState,
};
use super::status::report;
use super::wanted::{Ask, OnDelete, Person, Profile, Request, Tier, Wanted};
use crate::condition::{Kind, Verdict};
use crate::names::{DatabaseName, LoginName, SchoolCode, SecretName, ServerName, TenantId};
use crate::placement::{Cause, Choice, Unplaced};

const STATES: [TenantState; 5] =
    [TenantState::Provisioning, TenantState::Active, TenantState::Suspended, TenantState::Retained, TenantState::Deleted];
const ACCESSES: [Access; 4] = [Access::Open, Access::Closed, Access::Barred, Access::Drifted];

fn ask(suspended: bool, schema: u32) -> Ask {
    Ask {
        code: SchoolCode::parse("cedar").unwrap(),
        profile: Profile { name: "Cedar".into(), email: "office@cedar.example".into(), phone_number: None },
        admin: Person { name: "Ana".into(), email: "ana@cedar.example".into() },
        placement: Request { tier: Tier::Standard, server: None },
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

fn choice() -> Choice {
    Choice { server: ServerName::parse("pg-1").unwrap(), tier: Tier::Standard, reason: "the only one".into() }
}

/// What the world becomes when `action` lands. A claim is one transaction: database and login appear together.
fn effect(seen: &Seen, action: &Action) -> Seen {
    let mut next = seen.clone();
    match action {
        Action::AddFinalizer => next.finalizer = true,
        Action::RemoveFinalizer => next.finalizer = false,
        Action::RecordNames(_) => next.binding = Binding::Bound(fresh()),
        _ => {
            if let Binding::Bound(bound) = &mut next.binding {
                effect_when_bound(bound, action);
            }
        }
    }
    next
}

/// Just bound: nothing stands under the names, and the server is here.
fn fresh() -> Bound {
    Bound {
        names: names(),
        tenant: Tenant::Absent,
        secret: Secret::Absent,
        admin: Admin::Unmade(AdminSecret::Absent),
        server: Server::Here(OnServer { database: Database::Absent, login: Login::Absent, spare: false }),
    }
}

fn effect_when_bound(bound: &mut Bound, action: &Action) {
    match action {
        Action::ReserveTenant => bound.tenant = Tenant::Ours { state: TenantState::Provisioning, current: false },
        Action::SetTenant(state) => {
            if let Tenant::Ours { current, .. } = bound.tenant {
                bound.tenant = Tenant::Ours { state: *state, current };
            }
        }
        Action::Publish(state) => bound.tenant = Tenant::Ours { state: *state, current: true },
        Action::WriteSecret | Action::CompleteSecret { renew: true } => {
            bound.secret = Secret::Ours(Content::Current);
            outdate(bound);
            if let Server::Here(here) = &mut bound.server
                && here.login == Login::Matching
            {
                here.login = Login::Differing;
            }
        }
        Action::CompleteSecret { renew: false } => bound.secret = Secret::Ours(Content::Current),
        Action::WriteAdminSecret => bound.admin = Admin::Unmade(AdminSecret::Ours),
        Action::CreateAdmin => bound.admin = Admin::Made,
        _ => {
            if let Server::Here(here) = &mut bound.server {
                effect_on_server(here, action);
            }
            if matches!(action, Action::Migrate { .. }) {
                outdate(bound);
            }
        }
    }
}

/// The registry's row no longer says what stands.
fn outdate(bound: &mut Bound) {
    if let Tenant::Ours { state, .. } = bound.tenant {
        bound.tenant = Tenant::Ours { state, current: false };
    }
}

fn effect_on_server(here: &mut OnServer, action: &Action) {
    match action {
        Action::StageDatabase => here.spare = true,
        Action::ClaimDatabase => {
            *here = OnServer {
                spare: false,
                database: Database::Ours { schema: Schema { version: 2, genuine: true }, access: Access::Open },
                login: Login::Matching,
            };
        }
        Action::RestoreLogin => here.login = Login::Differing,
        Action::SetPassword => here.login = Login::Matching,
        Action::DropDatabase => here.database = Database::Absent,
        Action::DropLogin => here.login = Login::Absent,
        Action::Migrate { to, .. } => {
            if let Database::Ours { schema, .. } = &mut here.database {
                schema.version = *to;
            }
        }
        Action::OpenDatabase | Action::CloseDatabase => {
            if let Database::Ours { access, .. } = &mut here.database {
                *access = if *action == Action::OpenDatabase { Access::Open } else { Access::Closed };
            }
        }
        _ => {}
    }
}

fn wants() -> Vec<Wanted> {
    let kept = [false, true].into_iter().flat_map(|suspended| [1, 2].map(|schema| Wanted::Kept(Box::new(ask(suspended, schema)))));
    kept.chain([OnDelete::Retain, OnDelete::Delete].map(Wanted::Gone)).collect()
}

fn tenants() -> Vec<Tenant> {
    let ours = STATES.into_iter().flat_map(|state| [false, true].map(|current| Tenant::Ours { state, current }));
    [Tenant::Absent, Tenant::OfAnother].into_iter().chain(ours).collect()
}

fn servers() -> Vec<Server> {
    let away = [Away::NotFound, Away::Unreachable, Away::NotReady, Away::IdentityMismatch].map(Server::Away);
    let ours = (0..4).flat_map(|version| {
        [false, true]
            .into_iter()
            .flat_map(move |genuine| ACCESSES.map(|access| Database::Ours { schema: Schema { version, genuine }, access }))
    });
    let databases = [Database::Absent, Database::Foreign, Database::Broken].into_iter().chain(ours);
    let here = databases.flat_map(|database| {
        [Login::Absent, Login::Foreign, Login::Matching, Login::Differing]
            .into_iter()
            .flat_map(move |login| [false, true].map(|spare| Server::Here(OnServer { database, login, spare })))
    });
    away.into_iter().chain(here).collect()
}

fn worlds() -> Vec<Seen> {
    let secrets =
        [Secret::Absent, Secret::Foreign].into_iter().chain([Content::Current, Content::Stale, Content::Unusable].map(Secret::Ours));
    let admins: Vec<_> = [Admin::Made, Admin::EmailTaken]
        .into_iter()
        .chain([AdminSecret::Absent, AdminSecret::Foreign, AdminSecret::Ours].map(Admin::Unmade))
        .collect();
    let mut all = Vec::new();
    let unplaced = Unplaced { cause: Cause::NoCapacity, message: "pg-1 is full".into() };
    for finalizer in [false, true] {
        all.extend([Ok(choice()), Err(unplaced.clone())].map(|placed| Seen { finalizer, binding: Binding::Unbound(placed) }));
        for (secret, &admin) in secrets.clone().flat_map(|secret| admins.iter().map(move |admin| (secret, admin))) {
            for (tenant, server) in tenants().into_iter().flat_map(|tenant| servers().into_iter().map(move |server| (tenant, server))) {
                all.push(Seen { finalizer, binding: Binding::Bound(Bound { names: names(), tenant, secret, admin, server }) });
            }
        }
    }
    all
}

/// The goal, written without the planner.
fn satisfied(wanted: &Wanted, seen: &Seen) -> bool {
    let Wanted::Kept(ask) = wanted else { return !seen.finalizer };
    let Binding::Bound(bound) = &seen.binding else { return false };
    let Server::Here(OnServer { database: Database::Ours { schema, access }, login: Login::Matching, .. }) = bound.server else {
        return false;
    };
    let base = seen.finalizer && bound.secret == Secret::Ours(Content::Current) && schema.genuine;
    if ask.suspended {
        base && bound.tenant == (Tenant::Ours { state: TenantState::Suspended, current: true })
            && access == Access::Closed
            && schema.version <= ask.schema
    } else {
        base && bound.tenant == (Tenant::Ours { state: TenantState::Active, current: true })
            && access == Access::Open
            && schema.version == ask.schema
            && bound.admin == Admin::Made
    }
}

/// What is somebody else's in a world.
fn foreign(seen: &Seen) -> [bool; 5] {
    let Binding::Bound(bound) = &seen.binding else { return [false; 5] };
    let (database, login) = match bound.server {
        Server::Here(here) => (here.database == Database::Foreign, here.login == Login::Foreign),
        Server::Away(_) => (false, false),
    };
    let admin = bound.admin == Admin::Unmade(AdminSecret::Foreign);
    [database, login, admin, bound.secret == Secret::Foreign, bound.tenant == Tenant::OfAnother]
}

/// Data is lost only when deletion is asked for with `Delete`, routes have stopped and the door is closed.
fn drops_lawfully(wanted: &Wanted, seen: &Seen) -> bool {
    let Binding::Bound(bound) = &seen.binding else { return false };
    let entered =
        matches!(bound.server, Server::Here(OnServer { database: Database::Ours { access: Access::Open | Access::Drifted, .. }, .. }));
    let routed = matches!(
        bound.tenant,
        Tenant::Ours { state: TenantState::Active | TenantState::Provisioning, .. } | Tenant::Absent | Tenant::OfAnother
    );
    *wanted == Wanted::Gone(OnDelete::Delete) && !entered && !routed
}

/// One turn's properties.
fn check_turn(wanted: &Wanted, seen: &Seen, next: &Plan) -> Result<(), String> {
    let at = || format!("{next:?} at {seen:?} wanting {wanted:?}");
    if (*next == Plan::Settled) != satisfied(wanted, seen) {
        return Err(format!("settled is not the goal: {}", at()));
    }
    match next {
        Plan::Act(action) if !admissible(wanted, seen, action) => Err(format!("planned where it must not land: {}", at())),
        Plan::Act(Action::DropDatabase) if !drops_lawfully(wanted, seen) => Err(format!("data lost: {}", at())),
        Plan::Act(action) if foreign(seen) != foreign(&effect(seen, action)) => Err(format!("touches what is not ours: {}", at())),
        Plan::Wait(_) | Plan::Refuse(_) if matches!(wanted, Wanted::Kept(_)) && !seen.finalizer => {
            Err(format!("gives up before it began: {}", at()))
        }
        _ => Ok(()),
    }
}

/// Every property, for any planner, over every pair. A state that a path has already left lawfully is not followed again.
fn check(plan: impl Fn(&Wanted, &Seen) -> Plan) -> Result<String, String> {
    check_from(&worlds(), |_, _| true, plan)
}

/// The same, from some of the pairs only.
fn check_from(worlds: &[Seen], from: impl Fn(&Wanted, &Seen) -> bool, plan: impl Fn(&Wanted, &Seen) -> Plan) -> Result<String, String> {
    let (mut turns, mut longest) = (0_usize, 0);
    let wants = wants();
    for wanted in &wants {
        let mut followed = HashSet::new();
        for start in worlds.iter().filter(|start| from(wanted, start)) {
            let (mut seen, mut path) = (start.clone(), HashSet::new());
            while !followed.contains(&seen) {
                let next = plan(wanted, &seen);
                check_turn(wanted, &seen, &next)?;
                let Plan::Act(action) = next else { break };
                let after = effect(&seen, &action);
                if !path.insert(std::mem::replace(&mut seen, after)) {
                    return Err(format!("cycle with {action:?} at {seen:?} wanting {wanted:?}"));
                }
                turns += 1;
            }
            longest = longest.max(path.len());
            followed.extend(path);
        }
    }
    Ok(format!("{} pairs, {turns} turns, longest new path {longest}", wants.len() * worlds.len()))
}

#[test]
fn the_planner_holds_every_property_in_every_state() {
    println!("{}", check(plan).unwrap());
}

#[test]
fn ready_is_true_exactly_when_the_school_is_settled() {
    for wanted in wants() {
        for seen in worlds() {
            let planned = plan(&wanted, &seen);
            let conditions = report(&wanted, &seen, &planned, false);
            let is = |kind, verdict| conditions.iter().filter(|c| c.kind == kind).all(|c| c.verdict == verdict);
            assert_eq!(is(Kind::Ready, Verdict::True), planned == Plan::Settled, "{planned:?} at {seen:?} wanting {wanted:?}");
            assert!(
                !(is(Kind::Ready, Verdict::True) && is(Kind::Available, Verdict::False))
                    || matches!(&wanted, Wanted::Kept(ask) if ask.suspended)
                    || matches!(wanted, Wanted::Gone(_)),
                "Ready but not served: {seen:?}"
            );
        }
    }
}

#[test]
fn every_action_has_a_name_in_the_list_of_effects() {
    let planned: HashSet<_> = wants()
        .iter()
        .flat_map(|wanted| worlds().into_iter().map(move |seen| plan(wanted, &seen)))
        .filter_map(|planned| if let Plan::Act(action) = planned { Some(action.label()) } else { None })
        .collect();
    assert_eq!(planned, Action::LABELS.iter().copied().collect());
}
