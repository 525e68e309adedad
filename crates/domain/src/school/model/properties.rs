//! What must hold of every plan, written without the planner.
//!
//! Must not call it, and must not share code with it.

use super::*;

/// The goal, written without the planner.
fn satisfied(desired: &Desired, observed: &ObservedSchool) -> bool {
    let Desired::Present(school) = desired else { return !observed.finalizer };
    let Assignment::Assigned(assigned) = &observed.assignment else { return false };
    let ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { schema, access }, login, .. }) = assigned.server
    else {
        return false;
    };
    let base = observed.finalizer && assigned.existed && schema.genuine;
    if school.suspended {
        // Whatever its Secrets and its login are: they matter when it is served again.
        base && assigned.tenant == (ObservedTenant::Ours { state: TenantState::Suspended, current: true })
            && access == DatabaseAccess::Closed
            && schema.version <= school.schema
    } else {
        base && assigned.tenant == (ObservedTenant::Ours { state: TenantState::Active, current: true })
            && login == ObservedLogin::Matching
            && assigned.secret == ObservedSecret::Ours(SecretContent::Current)
            && access == DatabaseAccess::Open
            && schema.version == school.schema
            && assigned.admin == ObservedAdmin::Exists
            && assigned.reset == ObservedReset::NotRequested
    }
}

/// What is somebody else's in a world.
fn foreign(observed: &ObservedSchool) -> [bool; 7] {
    let Assignment::Assigned(assigned) = &observed.assignment else { return [false; 7] };
    let (database, login) = match assigned.server {
        ServerObservation::Available(catalog) => {
            (matches!(catalog.database, ObservedDatabase::Foreign { .. }), catalog.login == ObservedLogin::Foreign)
        }
        ServerObservation::Unavailable(_) => (false, false),
    };
    let admin = assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Foreign);
    let (of_another, reassigned) = (assigned.tenant == ObservedTenant::OfAnother, assigned.tenant == ObservedTenant::Reassigned);
    let reset = assigned.reset == ObservedReset::Requested(ObservedResetSecret::Foreign);
    [database, login, admin, reset, assigned.secret == ObservedSecret::Foreign, of_another, reassigned]
}

/// The API routes to the school, or the route is about to be published.
fn routed(assigned: &AssignedSchool) -> bool {
    matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active | TenantState::Provisioning, .. })
}

/// What is known to stand on the server.
fn catalog(assigned: &AssignedSchool) -> Option<CatalogFacts> {
    if let ServerObservation::Available(catalog) = assigned.server { Some(catalog) } else { None }
}

/// The school's login is known to be able to enter.
pub(super) fn entered(assigned: &AssignedSchool) -> bool {
    catalog(assigned).is_some_and(|catalog| match catalog.database {
        ObservedDatabase::Ours { access, .. } => access == DatabaseAccess::Open || access == DatabaseAccess::Drifted,
        ObservedDatabase::Foreign { entered } => entered,
        ObservedDatabase::Absent | ObservedDatabase::Broken => false,
    })
}

/// Something on the server is known to bear our ownership comment.
fn owned(assigned: &AssignedSchool) -> bool {
    catalog(assigned).is_some_and(|catalog| {
        let login = catalog.login == ObservedLogin::Matching || catalog.login == ObservedLogin::Differing;
        login || matches!(catalog.database, ObservedDatabase::Ours { .. } | ObservedDatabase::Broken)
    })
}

/// Data is lost only when deletion is asked for with `Delete`, routes have stopped and the database is closed. Without a row it must be certain that another
/// tenant has the code: else the row is only lost.
fn drops_lawfully(desired: &Desired, assigned: &AssignedSchool) -> bool {
    let row = !matches!(assigned.tenant, ObservedTenant::Absent | ObservedTenant::Reassigned);
    *desired == Desired::Deleted(DeletionPolicy::Delete) && !entered(assigned) && !routed(assigned) && row
}

/// The properties of one action.
fn check_execute(desired: &Desired, observed: &ObservedSchool, action: &Action) -> Result<(), &'static str> {
    if !admissible(desired, observed, action) {
        return Err("planned where it must not land");
    }
    if foreign(observed) != foreign(&apply(observed, action)) {
        return Err("touches what is not ours");
    }
    let Assignment::Assigned(assigned) = &observed.assignment else { return Ok(()) };
    let closing = matches!(desired, Desired::Present(school) if school.suspended);
    let reassigned = assigned.tenant == ObservedTenant::Reassigned;
    match action {
        Action::Server(ServerAction::DropDatabase) if !drops_lawfully(desired, assigned) => Err("data lost"),
        Action::Server(ServerAction::StageDatabase | ServerAction::ClaimDatabase) if assigned.existed || owned(assigned) => {
            Err("an empty database in place of a lost one")
        }
        Action::Secret(_) if closing && entered(assigned) => Err("a Secret before the door"),
        Action::Registry(RegistryAction::ResetAdminPassword) | Action::Secret(SecretAction::IssueAdminPassword)
            if closing || !matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active, .. }) =>
        {
            Err("another password for the administrator of a school that is not served")
        }
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Retained)) if !owned(assigned) && !assigned.existed => {
            Err("retains what it never owned")
        }
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Deleted)) if owned(assigned) => Err("forgets what stands"),
        Action::Object(ObjectAction::RemoveFinalizer) if entered(assigned) && !reassigned && !is_final(assigned) => {
            Err("leaves an open door")
        }
        Action::Object(ObjectAction::RemoveFinalizer) if owned(assigned) && !has_row(assigned) => Err("leaves what no row speaks of"),
        Action::Object(_) | Action::Registry(_) | Action::Secret(_) | Action::Server(_) => Ok(()),
    }
}

/// A row of ours or of another School speaks of this tenant.
fn has_row(assigned: &AssignedSchool) -> bool {
    matches!(assigned.tenant, ObservedTenant::Ours { .. } | ObservedTenant::Reassigned)
}

/// The registry says that everything was dropped.
fn is_final(assigned: &AssignedSchool) -> bool {
    matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Deleted, .. })
}

/// Nothing stands in the way of closing a school that is to be closed: neither a Secret nor anything else but a server that does not answer.
fn gives_up_open(desired: &Desired, observed: &ObservedSchool) -> bool {
    let Assignment::Assigned(assigned) = &observed.assignment else { return false };
    let active = matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active, .. });
    let ours_to_close = !matches!(assigned.tenant, ObservedTenant::Reassigned);
    let closing = !matches!(desired, Desired::Present(school) if !school.suspended);
    closing && observed.finalizer && (active || entered(assigned) && ours_to_close)
}

/// A template is waited for only where there is none, by a School that needs it, and a school that can be served meanwhile is.
fn check_awaited_template(desired: &Desired, observed: &ObservedSchool) -> Result<(), &'static str> {
    let (Desired::Present(school), Assignment::Assigned(assigned)) = (desired, &observed.assignment) else {
        return Err("waits for a template without a School to serve");
    };
    match catalog(assigned) {
        None | Some(CatalogFacts { template: true, .. }) => Err("waits for a template that is not known to be missing"),
        Some(CatalogFacts { database: ObservedDatabase::Absent, spare, .. }) => {
            if spare || assigned.existed {
                Err("waits for a template that it does not need")
            } else {
                Ok(())
            }
        }
        Some(CatalogFacts { database: ObservedDatabase::Ours { schema, access }, login, .. }) => {
            let served = assigned.tenant == (ObservedTenant::Ours { state: TenantState::Active, current: true });
            let whole = login == ObservedLogin::Matching && access == DatabaseAccess::Open && assigned.admin == ObservedAdmin::Exists;
            if school.suspended || schema.version >= school.schema {
                Err("waits for a template that it does not need")
            } else if served && whole && observed.finalizer && assigned.reset == ObservedReset::NotRequested {
                Ok(())
            } else {
                Err("is not served for want of a template")
            }
        }
        Some(CatalogFacts { database: ObservedDatabase::Foreign { .. } | ObservedDatabase::Broken, .. }) => Err("waits beside a conflict"),
    }
}

/// The properties of one plan.
pub(super) fn check_plan(desired: &Desired, observed: &ObservedSchool, next: &Plan) -> Result<(), String> {
    let broken = match next {
        _ if (*next == Plan::Settled) != satisfied(desired, observed) => Err("settled is not the goal"),
        Plan::Execute(action) => check_execute(desired, observed, action),
        Plan::Wait(Waiting::Template) => check_awaited_template(desired, observed),
        Plan::Wait(Waiting::Secret) if matches!(desired, Desired::Deleted(_)) => Err("a deletion waits for a Secret"),
        Plan::Wait(_) | Plan::Refuse(_) if matches!(desired, Desired::Present(_)) && !observed.finalizer => Err("gives up before it began"),
        Plan::Wait(_) | Plan::Refuse(_) | Plan::Settled if gives_up_open(desired, observed) => Err("leaves open what is to be closed"),
        Plan::Wait(_) | Plan::Refuse(_) | Plan::Settled => Ok(()),
    };
    broken.map_err(|broken| format!("{broken}: {next:?} at {observed:?} desiring {desired:?}"))
}
